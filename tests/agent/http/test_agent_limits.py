"""What an agent allows over HTTP: how many faults, which, how often, and whose."""

from tests.kits.agent.node_world import GPU0, GPU1, LEASE, OWNER, request

KERNEL = ["kernel"]


class TestLimits:
    """What a node allows."""

    def test_a_second_fault_on_a_gpu_is_refused_naming_the_first(self, agent):
        agent.post("/faults", request("first"), expect=201)
        status, error = agent.refused("/faults", request("second", gpus=[GPU1, GPU0], run="run-2"))
        assert (status, error["code"], error["fault"]) == (409, "gpu_busy", "first")
        assert "first of run run-1" in error["detail"]
        agent.post("/faults/first/disarm", OWNER)
        agent.post("/faults", request("second", gpus=[GPU1, GPU0], run="run-2"), expect=201)

    def test_several_faults_on_different_gpus_live_side_by_side(self, agent):
        one = agent.post("/faults", request("one"), expect=201)
        two = agent.post("/faults", request("two", gpus=[GPU1], xid=48), expect=201)
        assert two["generation"] != one["generation"]
        assert agent.get("/health")["armed"] == 2

    def test_kernel_lines_alone_exclude_nothing(self, agent, node):
        agent.post("/faults", request("one"), expect=201)
        agent.post("/faults", request("two", planes=KERNEL, xid=154), expect=201)
        assert len(node.lines()) == 2

    def test_an_xid_that_is_not_allowed(self, agents, node):
        agent = agents.start("--allow-xid", "94", "--allow-xid", "48")
        status, error = agent.refused("/faults", request())
        assert (status, error["code"]) == (403, "xid_not_allowed")
        assert "(48, 94)" in error["detail"]
        agent.post("/faults", request(xid=48), expect=201)

    def test_too_many_faults(self, agents):
        agent = agents.start("--max-faults", "1")
        agent.post("/faults", request("one"), expect=201)
        status, error = agent.refused("/faults", request("two", gpus=[GPU1]))
        assert (status, error["code"]) == (409, "too_many_faults")
        assert "one" in error["detail"]

    def test_too_often(self, agents, node):
        agent = agents.start("--burst", "2", "--rate", "1")
        for name in ("one", "two"):
            agent.post("/faults", request(name, planes=KERNEL), expect=201)
        status, error = agent.refused("/faults", request("three", planes=KERNEL))
        assert (status, error["code"]) == (429, "rate_limited")
        assert 0 < error["retry_after_s"] <= 60
        assert len(node.lines()) == 2
        agent.post("/faults/one/disarm", OWNER)


class TestOwners:
    """Epochs and runs."""

    def test_a_lower_epoch_is_refused_after_a_takeover(self, agent):
        agent.post("/faults", request(), expect=201)
        agent.post("/faults/f1/renew", {**LEASE, "epoch": 2})
        for action in ("arm", "renew", "disarm", "recover"):
            status, error = agent.refused(f"/faults/f1/{action}", LEASE)
            assert (status, error["code"]) == (409, "stale_epoch")
        status, error = agent.refused("/faults", request("late"))
        assert (status, error["code"]) == (409, "stale_epoch")

    def test_a_takeover_counts_even_if_the_fault_never_arrived(self, agent, node):
        """`recover` overtakes the injection of a runner that was believed dead."""
        status, error = agent.refused("/faults/f1/recover", {"run": "run-1", "epoch": 2})
        assert (status, error["code"]) == (404, "no_such_fault")
        assert agent.refused("/faults", request())[1]["code"] == "stale_epoch"
        assert node.lines() == []

    def test_another_run_cannot_touch_a_fault(self, agent):
        agent.post("/faults", request(), expect=201)
        for action in ("arm", "renew", "disarm", "recover"):
            status, error = agent.refused(f"/faults/f1/{action}", {**LEASE, "run": "run-2"})
            assert (status, error["code"]) == (409, "other_run")
        assert agent.get("/faults/f1")["state"] == "armed"
