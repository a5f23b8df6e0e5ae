"""The JSON Schema of a scenario, for editors: generated from the models that also validate, never written by hand.

It holds the step types and environments of a registry, with their params, options and guards. That of an installation
knows no others, so that a misspelt one is seen while it is typed. The published one takes others, too, if their names
have a dot or a slash, as those of other packages should. A field that takes an expression takes `${{ … }}` text too.

It accepts what the structural part of the loader accepts (findings OB200 to OB206, OB302, OB501, OB503), which a test
holds against it. What JSON Schema cannot say (references, types of expressions, that 79.0 is no integer, a model's own
validators) only `offbus validate` says.
"""

from collections.abc import Collection, Mapping
from typing import Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from offbus.durations import PATTERN
from offbus.environment import users_choices
from offbus.json_schemas import Schema, published
from offbus.language.cel.lexer import KEYWORDS
from offbus.language.format import FORMAT, ID, HeaderModel, StepModel
from offbus.plugins import ENVIRONMENTS, STEPS, Registry, installed
from offbus.step import FromAncestor

__all__ = ["published_schema", "scenario_schema"]

_TEMPLATE = {"type": "string", "pattern": r"\$\{\{"}
_REFERENCE = "#/$defs/{model}"
_OURS = "offbus"
"""The distribution whose types the published schema knows."""
_THEIRS: Schema = {
    "type": "string",
    "pattern": "[./]",
    "description": "Of another package: its name has a dot or a slash.",
}
_Key = tuple[type[BaseModel], Literal["validation"]]


def published_schema() -> Schema:
    """That for everybody: with our types, and any whose name has a dot or a slash."""
    return scenario_schema(installed().of_package(_OURS), others=True)


def scenario_schema(registry: Registry | None = None, *, others: bool = False) -> Schema:
    """The schema, with what is registered (default: what is installed); with `others`, which have a dot or a slash in
    their names, too. Raises PluginError."""
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
    for step in steps:
        _leave_to_ancestors(definitions[by_model[step.params]], step.params)
    _allow_templates(definitions, {by_model[HeaderModel], by_model[StepModel]})
    header = definitions.pop(by_model[HeaderModel])
    types = {one.name: (one.summary, by_model[one.params]) for one in steps}
    definitions["Step"] = _step(definitions.pop(by_model[StepModel]), types, definitions, others)
    properties = header["properties"]
    properties["steps"]["items"] = {"$ref": "#/$defs/Step"}
    properties["inputs"]["propertyNames"] = {"pattern": ID, "not": {"enum": sorted(KEYWORDS)}}
    properties["environment"] = _environment(
        {e.name: (e.summary, by_model[e.options]) for e in environments}, definitions, others
    )
    properties["guards"] = {
        "type": ["object", "null"],
        "description": properties["guards"]["description"],
    }
    header["allOf"] = [
        _guards(one.name, by_model[one.guards], must="required" in definitions[by_model[one.guards]])
        for one in environments
    ]
    made = {
        "title": f"offbus scenario, format {FORMAT}",
        **{key: value for key, value in header.items() if key != "title"},
        "$defs": dict(sorted(definitions.items())),
    }
    return published("scenario" if others else "scenario/installed", FORMAT, made)


def _step(
    step: Schema, types: Mapping[str, tuple[str, str]], definitions: Mapping[str, Schema], others: bool
) -> Schema:
    """A step, whose `with` depends on what it `uses`."""
    step["properties"]["id"]["not"] = {"enum": sorted(KEYWORDS)}
    uses = step["properties"]["uses"]
    uses["anyOf"] = _named({name: summary for name, (summary, _) in types.items()}, others)
    del uses["type"], uses["minLength"]
    step["properties"]["with"] = {"type": "object", "description": step["properties"]["with"]["description"]}
    step["allOf"] = [
        {
            "if": {"properties": {"uses": {"const": name}}, "required": ["uses"]},
            "then": {
                "properties": {"with": {"$ref": f"#/$defs/{params}"}},
                **({"required": ["with"]} if definitions[params].get("required") else {}),
            },
        }
        for name, (_, params) in types.items()
    ]
    return step


def _named(types: Mapping[str, str], others: bool) -> list[Schema]:
    """One of these names, each with its summary; or one of another package's."""
    names: list[Schema] = [{"const": name, "description": summary} for name, summary in types.items()]
    return [*names, _THEIRS] if others else names


def _environment(
    types: Mapping[str, tuple[str, str]], definitions: Mapping[str, Schema], others: bool
) -> Schema:
    """`uses` with the environment's options beside it."""
    branches = []
    for name, (_, options) in types.items():
        own = definitions[options]
        branches.append(
            {
                "if": {"properties": {"uses": {"const": name}}, "required": ["uses"]},
                "then": {
                    "properties": {"uses": {"const": name}, **own.get("properties", {})},
                    "required": ["uses", *own.get("required", [])],
                    "additionalProperties": False,
                },
            }
        )
    return {
        "type": ["object", "null"],
        "description": "What the run acts on. Default: local. --env overrides it.",
        "properties": {
            "uses": {
                "description": "Environment type.",
                "anyOf": _named({name: summary for name, (summary, _) in types.items()}, others),
            }
        },
        "required": ["uses"],
        "allOf": branches,
    }


def _guards(environment: str, model: str, *, must: bool) -> Schema:
    """The guards of one environment; of `local` also where the file names none, for it is the default."""
    uses: Schema = {
        "properties": {"environment": {"properties": {"uses": {"const": environment}}, "required": ["uses"]}}
    }
    if environment != "local":
        uses["required"] = ["environment"]
        uses["properties"]["environment"]["type"] = "object"
    if must:
        return {
            "if": uses,
            "then": {"properties": {"guards": {"$ref": f"#/$defs/{model}"}}, "required": ["guards"]},
        }
    return {
        "if": uses,
        "then": {"properties": {"guards": {"anyOf": [{"$ref": f"#/$defs/{model}"}, {"type": "null"}]}}},
    }


def _leave_to_ancestors(params: Schema, model: type[BaseModel]) -> None:
    """Of a step's params, those that an ancestor may output need not be given."""
    given = {
        info.alias or name
        for name, info in model.model_fields.items()
        if any(isinstance(mark, FromAncestor) for mark in info.metadata)
    }
    if required := [key for key in params.pop("required", []) if key not in given]:
        params["required"] = required


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
    if inner.get("format") == "duration":  # a plain timedelta, which is written as ours are
        inner = {"type": "string", "pattern": PATTERN}
    outer = {key: value for key, value in schema.items() if key in ("description", "default")}
    if "items" in inner and isinstance(inner["items"], dict):
        inner["items"] = _or_template(inner["items"])
    if not inner or (inner.get("type") == "string" and not inner.keys() & {"pattern", "enum", "format"}):
        return {**inner, **outer}
    branches = inner["anyOf"] if inner.keys() == {"anyOf"} else [inner]
    return {"anyOf": [*branches, _TEMPLATE], **outer}
