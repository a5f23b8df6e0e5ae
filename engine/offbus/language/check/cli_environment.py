"""An environment that the command line names, without a scenario: `--env NAME --env-set KEY=VALUE`."""

from collections.abc import Mapping

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from offbus.environment import EnvironmentType
from offbus.errors import UsageError
from offbus.findings.suggest import did_you_mean
from offbus.language import shape
from offbus.language.syntax import scalars
from offbus.plugins import ENVIRONMENTS, Registry

__all__ = ["named_options"]


def named_options(
    name: str, sets: Mapping[str, str], registry: Registry
) -> tuple[EnvironmentType, BaseModel]:
    """The environment's type and its options. Raises UsageError naming what is wrong."""
    names = registry.names(ENVIRONMENTS)
    if name not in names:
        hint = did_you_mean(name, names, f"installed: {', '.join(names) or 'none'}")
        raise UsageError(f"there is no environment {name!r}", hint=hint)
    kind = registry.environment_type(name)
    for given in (dict(sets), {key: scalars.resolve_or_text(text) for key, text in sets.items()}):
        try:
            return kind, shape.apply(kind.options, given)
        except ValidationError as err:
            wrong = err
    raise _refused(kind, shape.errors_of(wrong)[0])


def _refused(kind: EnvironmentType, error: ErrorDetails) -> UsageError:
    from offbus.language.check.pydantic_errors import keys_of
    from offbus.language.check.pydantic_wording import said

    option = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden" and len(error["loc"]) == 1:
        known = keys_of(kind.options)
        hint = did_you_mean(option, known, f"it has {', '.join(known)}")
        return UsageError(f"--env-set: the environment {kind.name} has no option {option!r}", hint=hint)
    return UsageError(f"--env-set {option}: {said(error)}")
