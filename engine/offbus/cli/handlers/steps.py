"""Step types, and functions of expressions, as text for a terminal or as JSON."""

import json
from collections.abc import Iterator, Sequence
from inspect import cleandoc
from typing import Any

from offbus.errors import UsageError
from offbus.findings.suggest import did_you_mean
from offbus.language.cel.functions import Signature, signature_of
from offbus.language.explain import Explanation, ParamExplanation, explain
from offbus.plugins import FUNCTIONS, STEPS, Plugin, PluginError, Registry, installed

__all__ = ["explain_one", "list_all"]


def list_all(form: str, registry: Registry | None = None) -> str:
    """All installed step types, then the functions. One that cannot be loaded is listed with the reason."""
    known = registry if registry is not None else installed()
    rows = [_row(group, name, known) for group in (STEPS, FUNCTIONS) for name in known.names(group)]
    if form == "json":
        return json.dumps(rows, indent=2)
    name_width = max((len(row["name"]) for row in rows), default=0)
    package_width = max((len(row["package"]) for row in rows), default=0)
    return "\n".join(
        f"{row['name']:{name_width}}  {row['kind'] or '?':11}  {row['package']:{package_width}}  {row['summary']}"
        for row in rows
    )


def _row(group: str, name: str, known: Registry) -> dict[str, Any]:
    plugin = known.plugin(group, name)
    row = {
        "name": name,
        "package": plugin.package if plugin else "",
        "version": plugin.version if plugin else "",
    }
    try:
        if group == FUNCTIONS:
            return {**row, "kind": "function", "summary": known.function(name).summary}
        step = known.step_type(name)
    except PluginError as err:
        return {**row, "kind": None, "summary": str(err)}
    return {**row, "kind": step.kind.value, "summary": step.summary}


def explain_one(name: str, form: str, registry: Registry | None = None) -> str:
    """One step type, else the function of that name. Raises UsageError if there is none, PluginError if it cannot be
    loaded."""
    known = registry if registry is not None else installed()
    plugin = known.plugin(STEPS, name)
    if plugin is None and (function := known.plugin(FUNCTIONS, name)) is not None:
        return _function(signature_of(known, name), function, form)
    if plugin is None:
        raise UsageError(
            f"there is no step type {name!r}",
            hint=did_you_mean(name, known.names(STEPS), "`offbus steps` lists them"),
        )
    explanation = explain(known.step_type(name), plugin)
    if form == "json":
        return json.dumps(explanation.to_json(), indent=2)
    return "\n".join(_lines(explanation))


def _function(found: Signature, plugin: Plugin, form: str) -> str:
    fields = [(name, str(of), found.described(name)) for name, of in found.values.items()]
    if form == "json":
        told = {"name": plugin.name, "kind": "function", "package": plugin.package, "version": plugin.version}
        told |= {"summary": found.function.summary}
        params = [{"name": name, "type": str(of)} for name, of in found.params.items()]
        of_result = [{"name": name, "type": of, "description": text} for name, of, text in fields]
        return json.dumps(
            {**told, "params": params, "result": str(found.result), "fields": of_result}, indent=2
        )
    gives = "" if fields else f" gives {found.result}"
    head = [
        f"{found.shown}{gives} (function): {found.function.summary}",
        f"from {plugin.package} {plugin.version}",
    ]
    text = ["", cleandoc(found.function.call.__doc__)] if found.function.call.__doc__ else []
    return "\n".join((*head, *text, *_table("Fields", fields)))


def _lines(step: Explanation) -> Iterator[str]:
    yield f"{step.name} ({step.kind}): {step.summary}"
    yield f"from {step.package} {step.version}; at most {step.timeout} by default"
    if step.injects:
        yield "injects a fault: never tried again unless `retry` asks for it"
    if step.background:
        yield "may run with `background: true`"
    if step.text:
        yield ""
        yield step.text
    yield from _table("Params", [_param(param) for param in step.params])
    yield from _table("Outputs", [(o.name, o.type, o.description) for o in step.outputs])
    yield from _table(
        "Metrics", [(f"metrics.{name}", of, step.meanings[name]) for name, of in step.metrics.items()]
    )
    if step.examples:
        yield "\nExamples:"
        yield from (f"  {line}" for example in step.examples for line in example.strip("\n").splitlines())


def _param(param: ParamExplanation) -> tuple[str, str, str]:
    if param.from_ancestor is not None:
        note = f" [from the ancestor that outputs {param.from_ancestor}]"
    elif param.required:
        note = " [required]"
    else:
        note = "" if param.default is None else f" [default {param.default}]"
    return param.name, param.type, param.description + note


def _table(title: str, rows: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    if not rows:
        return
    yield f"\n{title}:"
    names, types = max(len(row[0]) for row in rows), min(30, max(len(row[1]) for row in rows))
    for name, of, text in rows:
        yield f"  {name:{names}}  {of:{types}}  {text}".rstrip()
