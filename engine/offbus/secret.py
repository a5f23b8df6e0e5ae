"""Secrets: inputs that are given by where their values are, and read only by the step that needs one.

    offbus run drill.yaml --set token=from_env:MODEL_TOKEN          also from_file:PATH, from_secret:NAMESPACE/NAME/KEY

A `Secret` is what expressions and params hold: which input it is, never its value. So nothing that is written or
printed of a scenario, a plan, a journal or a report can have the value. `Context.secret` reads it while a step runs.

Where a value is (a `SecretSource`) only who runs the scenario says: a scenario that could name a file or a variable
would have it sent to a target of its own choice. One that writes a `Secret` by hand names one of its inputs, no more.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

from pydantic import BaseModel, ConfigDict, Field

from offbus.abilities import StoresSecrets, ability
from offbus.errors import StepError
from offbus.files import read_bounded

__all__ = ["HOW", "Secret", "SecretSource", "is_source", "read_secret", "source_of"]

Kind = Literal["from_env", "from_file", "from_secret"]
HOW = "from_env:NAME, from_file:PATH or from_secret:NAMESPACE/NAME/KEY"
LONGEST = 64 * 1024
"""Bytes of a value: no header, token or key has more."""


class Secret(BaseModel):
    """A secret input, as a param holds it."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    secret: str = Field(description="The input's name.")
    given: str = Field("", description="Where its value is, for people.")

    def __str__(self) -> str:
        return self.given or f"the input {self.secret}"


@dataclass(frozen=True, slots=True)
class SecretSource:
    """Where a secret's value is."""

    kind: Kind
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


def source_of(value: object) -> SecretSource:
    """From `from_env:NAME`, or a mapping with that one key. Raises ValueError, which does not repeat what was given."""
    if isinstance(value, str):
        kind, _, name = value.partition(":")
    elif isinstance(value, dict) and len(value) == 1:
        kind, name = next(iter(value.items()))
    else:
        kind, name = "", ""
    if kind not in get_args(Kind) or not isinstance(name, str) or not name or "\0" in name:
        raise ValueError(f"a secret is given by where it is, never as it is: {HOW}")
    if kind == "from_file":  # as who runs the scenario sees it
        name = str(Path.cwd() / name)
    return SecretSource(cast("Kind", kind), name)


def is_source(shown: object) -> bool:
    """Whether a journal's value of an input is where a secret is. A text of the same form is taken for one, too."""
    return isinstance(shown, str) and shown.partition(":")[0] in get_args(Kind)


async def read_secret(name: str, source: SecretSource | None, environment: object) -> str:
    """The value, without a line end behind it. Raises StepError, naming where it should be."""
    if source is None:
        raise StepError(f"there is no secret input {name!r}", hint="a secret is an input of type secret")
    if source.kind == "from_secret":
        store = ability(environment, StoresSecrets)
        if store is None:
            raise StepError(f"the secret {name} is given as {source}, and this environment stores none")
        value = await store.read_secret(source.name)
    elif source.kind == "from_env":
        value = os.environ.get(source.name, "")
    else:
        value = _read_file(name, source)
    value = value.rstrip("\r\n")
    if not value:
        raise StepError(f"the secret {name} is empty: {source}")
    return value


def _read_file(name: str, source: SecretSource) -> str:
    try:
        data = read_bounded(Path(source.name), LONGEST, whole=True)
        return data.decode()
    except OSError as err:
        raise StepError(f"the secret {name} cannot be read: {source}: {err.strerror}") from err
    except UnicodeDecodeError:
        raise StepError(f"the secret {name} is not UTF-8: {source}") from None
