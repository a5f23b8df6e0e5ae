"""The detector as a process: what it says in a real cluster about a real kernel log."""

from collections.abc import Callable

import pytest

from offbus_sandbox.responder.boot_id import renew_boot_id
from offbus_steps.port import Object, Ref
from tests.kits.responder.responder_world import Cluster, condition

pytestmark = pytest.mark.anyio

NODE = Ref("Node", "node-1")


def is_unhealthy(code: str) -> Callable[[Object], bool]:
    return lambda node: f"ErrorCode:{code} " in condition(node).get("message", "")


async def test_a_new_node_is_told_healthy_once(cluster: Cluster) -> None:
    cluster.detector("node-1")
    node = await cluster.until(NODE, condition)
    assert (condition(node)["status"], condition(node)["reason"]) == ("False", "SysLogsXIDErrorIsHealthy")
    assert any(c["type"] == "Ready" for c in node["status"]["conditions"])


async def test_a_fatal_xid_becomes_a_condition_that_a_reset_clears(cluster: Cluster) -> None:
    cluster.detector("node-1")
    cluster.xid("node-1", "119, Timeout after 6s of waiting for RPC response")
    node = await cluster.until(NODE, lambda n: condition(n).get("status") == "True")
    uuid = cluster.gpus("node-1")[0]["uuid"]
    assert condition(node)["message"].startswith("ErrorCode:119 PCI:")
    assert f"GPU_UUID:{uuid} MESSAGE=offbus=t .NVRM: Xid" in condition(node)["message"]
    assert condition(node)["message"].endswith("Recommended Action=COMPONENT_RESET;")
    cluster.log_line("node-1", f"GPU reset executed: {uuid}, success: true")
    await cluster.until(NODE, lambda n: condition(n).get("status") == "False")


async def test_the_bare_line_of_the_tutorials_is_not_detected(cluster: Cluster) -> None:
    cluster.detector("node-1")
    cluster.xid("node-1", "79, GPU has fallen off the bus.", opening="")
    cluster.xid("node-1", "48, An uncorrectable double bit error", gpu=1)
    node = await cluster.until(NODE, is_unhealthy("48"))
    assert "ErrorCode:79" not in condition(node)["message"]


async def test_a_non_fatal_xid_is_an_event_for_each_text_that_counts(cluster: Cluster) -> None:
    """As NVSentinel's K8sConnector: an Event of the same type, reason and message is counted; any other is new."""
    cluster.detector("node-1", dedup_window_s=0)
    cluster.xid("node-1", "13, Graphics Exception")
    cluster.xid("node-1", "13, Graphics Exception again")
    cluster.xid("node-1", "13, Graphics Exception")
    cluster.xid("node-1", "48, fatal, so that we know when the others are through", gpu=1)
    node = await cluster.until(NODE, is_unhealthy("48"))
    events = (await cluster.objects.list("Event", namespace="default")).items
    told = [e for e in events if e["involvedObject"]["name"] == "node-1" and e["type"] == "SysLogsXIDError"]
    assert {"again" in e["message"]: e["count"] for e in told} == {False: 2, True: 1}
    for event in told:
        assert event["source"] == {"component": "syslog-health-monitor", "host": "node-1"}
        assert event["reportingComponent"] == "syslog-health-monitor"
        assert event["reportingInstance"] == "node-1"
    assert "ErrorCode:13" not in condition(node)["message"]


async def test_a_new_boot_id_clears_everything(cluster: Cluster) -> None:
    cluster.detector("node-1")
    cluster.xid("node-1", "79, GPU has fallen off the bus.")
    cluster.xid("node-1", "999, unknown", gpu=1)
    await cluster.until(NODE, is_unhealthy("999"))
    renew_boot_id(cluster.layout.node("node-1"))
    await cluster.until(NODE, lambda n: condition(n)["status"] == "False")


async def test_lines_that_were_written_while_it_was_dead_are_not_lost(cluster: Cluster) -> None:
    first = cluster.detector("node-1")
    cluster.xid("node-1", "48, before", gpu=1)
    await cluster.until(NODE, is_unhealthy("48"))
    first.kill()
    cluster.xid("node-1", "79, while nobody looked")
    cluster.detector("node-1")
    node = await cluster.until(NODE, is_unhealthy("79"))
    assert condition(node)["message"].count("ErrorCode:48") == 1


async def test_what_was_in_the_log_before_the_first_start_is_not_news(cluster: Cluster) -> None:
    cluster.xid("node-1", "79, long ago")
    cluster.detector("node-1")
    cluster.xid("node-1", "48, now", gpu=1)
    node = await cluster.until(NODE, is_unhealthy("48"))
    assert "ErrorCode:79" not in condition(node)["message"]


async def test_polling_like_nvsentinel_finds_the_same(cluster: Cluster) -> None:
    cluster.detector("node-1", poll_s=0.3)
    cluster.xid("node-1", "79, GPU has fallen off the bus.")
    await cluster.until(NODE, is_unhealthy("79"))


async def test_sigterm_ends_it_with_0(cluster: Cluster) -> None:
    assert cluster.detector("node-1").end() == 0
