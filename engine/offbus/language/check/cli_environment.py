"""An environment that the command line names, without a scenario: `--env NAME --env-set KEY=VALUE`."""

from collections.abc import Mapping

from pydantic import BaseModel, ValidationError

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
    first = shape.errors_of(wrong)[0]
    raise UsageError(f"--env-set {'.'.join(map(str, first['loc']))}: {first['msg']}")
