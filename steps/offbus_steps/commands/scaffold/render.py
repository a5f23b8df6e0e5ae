"""The texts that `offbus init` writes, from templates/: what is drawn in is checked, or quoted, before.

In a template `@name` stands for a value; a line that is nothing else, for a part of several lines.
"""

import string
from collections.abc import Mapping, Sequence
from functools import cache
from json import dumps
from pathlib import Path

from offbus_steps.commands.scaffold.drill import NEW_NAMESPACE, Drill, NewTarget
from offbus_steps.commands.scaffold.recipes import BACKENDS, SEVERAL

__all__ = ["SCHEMA", "manifest_name", "manifest_text", "scenario_text"]

SCHEMA = "scenario.schema.json"
"""The file that the first line of a scenario names, beside it: no editor has to be online for it, and it knows the
step types that are installed."""
TEMPLATES = Path(__file__).with_name("templates")

TIMES: Mapping[str, Mapping[str, str]] = {
    "local": {
        "rollout": "10m",
        "drain": "5m",
        "recovery": "10m",
        "calm": "10s",
        "timeout": "30m",
        "undo_timeout": "5m",
    },
    "kubernetes": {
        "rollout": "30m",
        "drain": "15m",
        "recovery": "30m",
        "calm": "60s",
        "timeout": "2h",
        "undo_timeout": "15m",
    },
}
"""How long steps may take: on a cluster, images are pulled and models loaded, and NVSentinel's monitor takes some 15 s
to detect a fault, its drain 2 min and more (the published user guide)."""


class _Template(string.Template):
    """`$` and braces belong to expressions."""

    delimiter = "@"


def scenario_text(drill: Drill) -> str:
    """The scenario."""
    recipe, target = drill.recipe, drill.target
    survives = target.replicas > 1
    own = isinstance(target, NewTarget) and target.namespace == NEW_NAMESPACE
    values = {
        **TIMES[drill.env],
        "file": f"{drill.name}.yaml",
        "schema": SCHEMA,
        "name": _scalar(drill.name),
        "summary": recipe.summary,
        "fault": recipe.fault,
        "healthy": str(int(survives)),
        "healthy_why": "of the target, on other nodes than the faulted one" if survives else ONE_REPLICA,
        "namespaces": '"drill-*"' if own else _scalar(target.namespace),
    }
    for part in ("prepared", "inject", "fails"):
        values[part] = _part(part, values)
    for part in ("repair", "uncordon"):
        values[part] = _part(f"{part}-{drill.env}", values)
    values["steps"] = _filled(f"recipes/{recipe.name}.yaml", values)
    values["inputs"] = _inputs(drill, values)
    environment = _flow({"uses": drill.env, **drill.options})
    values["environment"] = f"{_part(f'environment-{drill.env}', values)}\nenvironment: {environment}"
    values["deploy"] = _deploy(drill, values)
    floor = "0.90" if survives else f"0.0  # {ONE_REPLICA}"
    values["expect"] = "\n".join(f"  - {one.format(floor=floor)}" for one in recipe.expect)
    return _filled("scenario.yaml", {**values, "summary": _scalar(recipe.summary), "says": recipe.summary})


ONE_REPLICA = "the target has one replica: nothing answers until it is back"


def manifest_name(drill: Drill) -> str:
    """Relative to the scenario. One for each scenario, and in a folder, so that `*.yaml` beside it are scenarios."""
    return f"targets/{drill.name}.yaml"


def manifest_text(drill: Drill, target: NewTarget) -> str:
    """The manifest of a new target."""
    backend = BACKENDS[target.backend]
    values = {
        "file": f"{drill.name}.yaml",
        "namespace": _scalar(target.namespace),
        "backend": target.backend,
        "worker": backend.worker,
        "image": _scalar(target.image),
        "folder": backend.folder,
        "arguments": _flow(backend.arguments),
    }
    return _filled(f"targets/{backend.template}-{drill.env}.yaml", values)


def _inputs(drill: Drill, values: Mapping[str, str]) -> str:
    number = drill.xids[0]
    first = {**values, "xid": str(number), "title": drill.titles[number], "other": str(drill.other)}
    if drill.recipe.name != SEVERAL:
        return _part("inputs-one", first)
    axis = (f"    - {one}  # {drill.titles[one]}" for one in drill.xids)
    return "\n".join((_part("inputs-several", first), *axis))


def _deploy(drill: Drill, values: Mapping[str, str]) -> str:
    target = drill.target
    if isinstance(target, NewTarget):
        return _part("deploy-manifest", {**values, "manifest": manifest_name(drill)})
    ref = target.ref
    named = {"kind": ref.kind, "target": _scalar(ref.name), "namespace": _scalar(ref.namespace)}
    port = "" if target.port is None else f"\n      port: {target.port}"
    return _part("deploy-existing", {**values, **named}) + port


def _part(name: str, values: Mapping[str, str]) -> str:
    return _filled(f"parts/{name}.yaml", values).rstrip("\n")


def _filled(name: str, values: Mapping[str, str]) -> str:
    return _read(name).substitute(values)


@cache
def _read(name: str) -> _Template:
    return _Template((TEMPLATES / name).read_text(encoding="utf-8"))


def _scalar(text: str) -> str:
    """A text as YAML, also inside of `{…}`: plain where that is read as this text, by YAML 1.1, too."""
    import yaml

    try:
        plain = yaml.safe_load(f"[{text}]") == [text]
    except yaml.YAMLError:
        plain = False
    return text if plain else dumps(text, ensure_ascii=False)


def _flow(value: Mapping[str, object] | Sequence[str]) -> str:
    """On one line."""
    import yaml

    held = dict(value) if isinstance(value, Mapping) else list(value)
    return yaml.safe_dump(held, default_flow_style=True, sort_keys=False, width=10_000).strip()
