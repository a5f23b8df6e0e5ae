"""`offbus plan` on `local`: which sandbox a run would use, and what its responder's settings mean for the drill.

A run's own sandbox does not exist yet, and none is started: what its controller would publish of itself, and the nodes
that there would be, follow from the options. Of a sandbox that is kept both are read. Then the same rules say the same
as on a cluster (`offbus_steps.nvsentinel.settings`). A step that waits for what a dry run leaves out is refused here as
there; the steps' own preflights look at objects, of which a new sandbox has none, and are not asked.

Changes nothing. Raises CouldNotRun when the sandbox that is asked for does not run, or is another than the options say.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from offbus.preflight import Intent, PreflightCheck
from offbus_sandbox.adapter.port import LocalPort
from offbus_sandbox.config import SandboxConfig
from offbus_sandbox.local.options import LocalOptions
from offbus_sandbox.local.sandbox_choice import ChosenSandbox, persistent_sandbox
from offbus_sandbox.nodes.gpus import gpus_of
from offbus_sandbox.nodes.registration import node_object
from offbus_steps.nvsentinel.containers import STANDIN_PROFILE
from offbus_steps.nvsentinel.dry_run import dry_part, parts_in
from offbus_steps.nvsentinel.settings import standin_checks
from offbus_steps.port import Object

__all__ = ["preflight_local"]

Objects = Sequence[Object]


async def preflight_local(options: LocalOptions, intents: Sequence[Intent]) -> list[PreflightCheck]:
    """See `offbus.preflight.RunsPreflight`."""
    if persistent_sandbox(options) is None:
        config, which = options.config(), "a sandbox for this run alone"
        maps, nodes = _published(config), _nodes(config)
    else:
        chosen = ChosenSandbox.choose(options, Path())
        config, which = chosen.config, f"the sandbox {chosen.layout.real.name!r}, which is up"
        async with LocalPort(chosen.layout.api) as port:
            maps = (await port.objects.list("ConfigMap", namespace=STANDIN_PROFILE.namespace)).items
            nodes = (await port.objects.list("Node")).items
    text = f"{which}: {config.nodes} nodes, {config.gpus_per_node} GPUs on each"
    return [PreflightCheck("environment", text), *_responder(config, maps, nodes), *_refused(maps, intents)]


def _responder(config: SandboxConfig, maps: Objects, nodes: Objects) -> Iterator[PreflightCheck]:
    if config.responder is None:
        yield PreflightCheck("responder", "it is off: nothing will cordon, drain or remediate", "warning")
        return
    yield from standin_checks(maps, nodes)


def _refused(maps: Objects, intents: Sequence[Intent]) -> Iterator[PreflightCheck]:
    parts = list(parts_in((), maps))
    for intent in intents:
        if (dry := dry_part(parts, intent.waits_for)) is not None:
            why = dry.why_not(intent.uses)
            yield PreflightCheck(intent.topic, why, "error", dry.way_out(intent.uses))


def _published(config: SandboxConfig) -> Objects:
    """What its controller would say of itself."""
    if config.responder is None:
        return ()
    meta = {"name": STANDIN_PROFILE.name, "namespace": STANDIN_PROFILE.namespace}
    return ({"metadata": meta, "data": config.responder.published},)


def _nodes(config: SandboxConfig) -> Objects:
    return [
        node_object(name, gpus_of(name, position, config.gpus_per_node))
        for position, name in enumerate(config.node_names)
    ]
