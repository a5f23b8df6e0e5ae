"""The JSON Schema of a scenario, for editors: generated from the models that also validate, never written by hand.

It holds the step types and environments of a registry, with their params, options and guards. A field that takes an
expression takes `${{ … }}` text too. What JSON Schema cannot say (references, types of expressions) only `offbus
validate` says.
"""

from collections.abc import Collection, Mapping
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from offbus.environment import users_choices
from offbus.language.format import FORMAT, HeaderModel, StepModel
from offbus.plugins import ENVIRONMENTS, STEPS, Registry, installed

__all__ = ["scenario_schema"]

_TEMPLATE = {"type": "string", "pattern": r"\$\{\{"}
_REFERENCE = "#/$defs/{model}"
_Key = tuple[type[BaseModel], Literal["validation"]]

Schema = dict[str, Any]


def scenario_schema(registry: Registry | None = None) -> Schema:
    """The schema, with what is registered (default: what is installed). Raises PluginError."""
    known = registry if registry is not None else installed()
    steps = [known.step_type(name) for name in known.names(STEPS)]
    environments = [known.environment_type(name) for name in known.names(ENVIRONMENTS)]
    models: list[type[BaseModel]] = [HeaderModel, StepModel]
    models += [step.params for step in steps]
    models += [model for environment in environments for model in (environment.options, environment.guards)]
    unique = list(dict.fromkeys(models))
    references, document = models_json_schema(
        [(model, "validation") for model in unique], ref_template=_REFERENCE
    )
    by_model = {model: str(found["$ref"]).rsplit("/", 1)[1] for (model, _), found in references.items()}
    definitions: dict[str, Schema] = document["$defs"]
    for environment in environments:
        _leave_out(definitions[by_model[environment.options]], users_choices(environment.options))
    _allow_templates(definitions, {by_model[HeaderModel], by_model[StepModel]})
    header = definitions.pop(by_model[HeaderModel])
    definitions["Step"] = _step(
        definitions.pop(by_model[StepModel]), {s.name: (s.summary, by_model[s.params]) for s in steps}
    )
    header["properties"]["steps"]["items"] = {"$ref": "#/$defs/Step"}
    header["properties"]["environment"] = _environment(
        {e.name: (e.summary, by_model[e.options]) for e in environments}, definitions
    )
    header["properties"]["guards"] = {
        "type": "object",
        "description": header["properties"]["guards"]["description"],
    }
    header["allOf"] = [_guards(e.name, by_model[e.guards]) for e in environments]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"offbus scenario, format {FORMAT}",
        **{key: value for key, value in header.items() if key != "title"},
        "$defs": dict(sorted(definitions.items())),
    }


def _step(step: Schema, types: Mapping[str, tuple[str, str]]) -> Schema:
    """A step, whose `with` depends on what it `uses`."""
    names = [{"const": name, "description": summary} for name, (summary, _) in types.items()]
    step["properties"]["uses"] |= {"anyOf": [*names, {"type": "string"}]}
    del step["properties"]["uses"]["type"]
    step["properties"]["with"] = {"type": "object", "description": step["properties"]["with"]["description"]}
    step["allOf"] = [
        {
            "if": {"properties": {"uses": {"const": name}}, "required": ["uses"]},
            "then": {"properties": {"with": {"$ref": f"#/$defs/{params}"}}},
        }
        for name, (_, params) in types.items()
    ]
    return step


def _environment(types: Mapping[str, tuple[str, str]], definitions: Mapping[str, Schema]) -> Schema:
    """`uses` with the environment's options beside it."""
    branches = []
    for name, (summary, options) in types.items():
        own = definitions[options]
        branches.append(
            {
                "if": {"properties": {"uses": {"const": name}}, "required": ["uses"]},
                "then": {
                    "description": summary,
                    "properties": {"uses": {"const": name}, **own.get("properties", {})},
                    "required": ["uses", *own.get("required", [])],
                    "additionalProperties": False,
                },
            }
        )
    return {
        "type": "object",
        "description": "What the run acts on. Default: local. --env overrides it.",
        "properties": {"uses": {"anyOf": [*({"const": name} for name in types), {"type": "string"}]}},
        "required": ["uses"],
        "allOf": branches,
    }


def _guards(environment: str, model: str) -> Schema:
    """The guards of one environment; of `local` also where the file names none, for it is the default."""
    uses: Schema = {
        "properties": {"environment": {"properties": {"uses": {"const": environment}}, "required": ["uses"]}}
    }
    if environment != "local":
        uses["required"] = ["environment"]
    return {"if": uses, "then": {"properties": {"guards": {"$ref": f"#/$defs/{model}"}}}}


def _leave_out(options: Schema, keys: Collection[str]) -> None:
    """Of an environment's options, those that a scenario must not set."""
    for key in keys:
        del options["properties"][key]
    if required := [key for key in options.pop("required", []) if key not in keys]:
        options["required"] = required


def _allow_templates(definitions: Mapping[str, Schema], but: set[str]) -> None:
    """Let every property and item of params, options and guards be `${{ … }}` too."""
    own = {"InputModel", "MatrixModel", "RetryModel", "StopModel", "EnvironmentModel"}
    for name, definition in definitions.items():
        if name in but or name in own:
            continue
        properties = definition.get("properties", {})
        for key, value in properties.items():
            properties[key] = _or_template(value)


def _or_template(schema: Schema) -> Schema:
    """A schema that also takes an expression, if it does not yet; the description stays where editors look for it."""
    inner = {key: value for key, value in schema.items() if key not in ("description", "default", "title")}
    outer = {key: value for key, value in schema.items() if key in ("description", "default")}
    if "items" in inner and isinstance(inner["items"], dict):
        inner["items"] = _or_template(inner["items"])
    if not inner or (inner.get("type") == "string" and not inner.keys() & {"pattern", "enum", "format"}):
        return {**inner, **outer}
    branches = inner["anyOf"] if inner.keys() == {"anyOf"} else [inner]
    return {"anyOf": [*branches, _TEMPLATE], **outer}
