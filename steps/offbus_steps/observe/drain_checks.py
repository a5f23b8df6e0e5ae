"""Preflight checks of a drain: whether the deployed responder would ever finish it, so that `await_drain` can pass."""

from collections.abc import Iterable

from offbus.preflight import PreflightCheck
from offbus_steps.cluster.cluster import Cluster
from offbus_steps.nvsentinel.containers import containers_in, files_in
from offbus_steps.nvsentinel.drain_mode import CUSTOM, Drainer, drainers_in
from offbus_steps.nvsentinel.drain_rules import DrainMode
from offbus_steps.nvsentinel.installation import installed
from offbus_steps.workloads.labels import Labels

__all__ = ["drain_checks"]

WAYS_OUT = "give that namespace the mode Immediate, leave out await_drain, or use pods that end by themselves"


async def drain_checks(
    cluster: Cluster, topic: str, pods: Iterable[tuple[str, Labels]]
) -> list[PreflightCheck]:
    """For an `await_drain`, and the namespaces and labels of the drill's pods. Raises PortError."""
    responder = await installed(cluster.port.objects, cluster.guards.responder_namespace)
    containers = containers_in(responder.deployments, files_in(responder.maps))
    named = list(pods)
    found = [_check(topic, drainer, *pod) for drainer in drainers_in(containers) for pod in named]
    return list(dict.fromkeys(found))


def _check(topic: str, drainer: Drainer, namespace: str, labels: Labels) -> PreflightCheck:
    mode = drainer.mode(namespace, labels)
    if mode is None:
        return PreflightCheck(topic, f"{drainer.name} drains no pods of {namespace}", "error", WAYS_OUT)
    told = f"{drainer.name} drains pods of {namespace} by {mode.value} ({mode.source})"
    if mode.value == DrainMode.ALLOW_COMPLETION:
        text = f"{told}: it waits for ever until they end by themselves, so await_drain cannot pass"
        return PreflightCheck(topic, text, "error", WAYS_OUT)
    if mode.value == DrainMode.DELETE_AFTER_TIMEOUT:
        text = f"{told}: they are deleted only after its timeout, and await_drain has to wait as long"
        return PreflightCheck(topic, text, "warning", WAYS_OUT)
    if mode.value == CUSTOM:
        return PreflightCheck(topic, f"{told}: how long that takes cannot be told", "warning")
    return PreflightCheck(topic, told)
