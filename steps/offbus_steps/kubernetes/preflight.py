"""`offbus plan` on a cluster: everything that would refuse a run, and what a run would do. Changes nothing.

First what a run checks before it changes anything (permissions, agents, the Lease), each problem on a line of its own;
without the permissions nothing more is checked. Then the steps' own checks (offbus_steps.cluster.preflight), and the
permissions in the namespaces where these tell that they act; whether the reaper could finish the run if its runner
died; the deployed responder (`responder_checks`).
"""

from collections.abc import Sequence

from offbus.environment import RunHandle
from offbus.preflight import Intent, PreflightCheck
from offbus_steps.cluster.cluster import open_cluster
from offbus_steps.cluster.preflight import DrillPreflight, drill_checks
from offbus_steps.kubernetes.connect import port_of, unreachable
from offbus_steps.kubernetes.options import KubernetesOptions
from offbus_steps.kubernetes.ownership.unfinished_runs import NOBODY, runs_known
from offbus_steps.kubernetes.port import KubernetesPort
from offbus_steps.kubernetes.rbac.access_review import (
    ROLES,
    missing_agents,
    missing_drill_rights,
    missing_rights,
)
from offbus_steps.kubernetes.rbac.reaper_check import drill_namespaces, gaps, ready_reapers
from offbus_steps.kubernetes.rest.api import Call
from offbus_steps.nvsentinel.settings import dry_run_checks, responder_checks
from offbus_steps.port import Forbidden
from offbus_steps.safety.guards import ClusterGuards

__all__ = ["preflight_kubernetes"]

NOTHING_MORE = PreflightCheck("environment", "without these permissions nothing more can be checked")


async def preflight_kubernetes(
    options: KubernetesOptions,
    guards: ClusterGuards,
    intents: Sequence[Intent],
    run: RunHandle,
    scenario_dir: str,
) -> list[PreflightCheck]:
    """See `offbus.preflight.RunsPreflight`."""
    async with port_of(options) as port:
        with unreachable():
            checks = await _permissions_and_agents(port, options)
            if any(one.topic == "rights" for one in checks):
                return [*checks, NOTHING_MORE]
            checks += await _owners(port, options)
            async with open_cluster(port, run, guards) as cluster:
                drill = DrillPreflight(cluster, scenario_dir)
                of_steps, lacking = await _checks_where_they_act(port, options, drill, intents)
            if lacking:
                return [*checks, *lacking, NOTHING_MORE]
            namespaces = drill_namespaces(options.namespace, guards.namespaces, drill.namespaces)
            checks += await _reaper(port, options, namespaces)
            checks += await responder_checks(port.objects, guards.responder_namespace)
            if options.responder == "dry_run":
                checks += await dry_run_checks(port.objects, guards.responder_namespace)
            return [*checks, *of_steps]


async def _permissions_and_agents(port: KubernetesPort, options: KubernetesOptions) -> list[PreflightCheck]:
    version = await port.api.json(Call("GET", "/version"))
    reached = PreflightCheck(
        "cluster", f"{port.api.connection.shown_server}, Kubernetes {version.get('gitVersion', 'unknown')}"
    )
    lacking = await missing_rights(
        port, drill_namespace=options.namespace, agent_namespace=options.agent_namespace
    )
    if lacking:
        return [reached, *map(_missing, lacking)]
    hint = "run `kubectl apply -k deploy/base`, and check the DaemonSet offbus-agent"
    return [
        reached,
        *(
            PreflightCheck("agents", f"no agent is ready on {node}", "error", hint)
            for node in await missing_agents(port)
        ),
    ]


async def _checks_where_they_act(
    port: KubernetesPort, options: KubernetesOptions, drill: DrillPreflight, intents: Sequence[Intent]
) -> tuple[list[PreflightCheck], list[PreflightCheck]]:
    """The checks of all steps, and the permissions that are missing where they tell that they act: these say why a
    check was refused."""
    refused = None
    found = list[PreflightCheck]()
    try:
        found = await drill_checks(drill, intents)
    except Forbidden as err:
        refused = err
    asked = options.namespace and {*drill.namespaces, *drill.made_for_run} - {options.namespace}
    lacking = await missing_drill_rights(port, sorted(asked)) if asked else []
    if refused is not None and not lacking:
        raise refused
    return found, list(map(_missing, lacking))


def _missing(right: str) -> PreflightCheck:
    return PreflightCheck("rights", f"missing permission: {right}", "error", ROLES)


async def _owners(port: KubernetesPort, options: KubernetesOptions) -> list[PreflightCheck]:
    """The runs that use the cluster now."""
    found = []
    for known in await runs_known(port, options):
        hint = f"wait for it, or if it was killed, run `offbus recover {known.run} --env kubernetes`"
        if known.holder == NOBODY:
            found.append(
                PreflightCheck("runs", f"run {known.run} left its records in this cluster", "warning", hint)
            )
        else:
            text = f"the cluster is in use by run {known.run} (held by {known.holder})"
            found.append(PreflightCheck("runs", text, "error", hint))
    return found


async def _reaper(
    port: KubernetesPort, options: KubernetesOptions, namespaces: Sequence[str]
) -> list[PreflightCheck]:
    """Whether the reaper would finish a run whose runner dies, and where it could not."""
    ready = await ready_reapers(port, options.agent_namespace)
    if not ready:
        text = "none is ready: a run whose runner dies waits for `offbus recover`"
        return [PreflightCheck("reaper", text, "warning", "run `kubectl apply -k deploy/base`")]
    text = f"{ready} ready: a run whose runner dies is finished after {options.lease_s} s"
    out_of_reach = await gaps(port, namespaces, options.agent_namespace)
    return [
        PreflightCheck("reaper", text),
        *(PreflightCheck("reaper", str(one), "warning", one.fix) for one in out_of_reach),
    ]
