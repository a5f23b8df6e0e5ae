"""What the command line of `offbus validate` says besides its files, and a file as it is under that."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from offbus.findings.invalid_scenario import InvalidScenario
from offbus.findings.model import Finding
from offbus.language.load import Loaded, load_cells

__all__ = ["Overrides"]


@dataclass(frozen=True, slots=True)
class Overrides:
    """--set, --inputs, --env, --env-set."""

    sets: Mapping[str, str]
    inputs: Path | None
    env: str | None
    env_sets: Mapping[str, str]

    def load(self, file: Path, data: bytes | None = None) -> Loaded:
        """The file, or what it would be if it had these bytes. Raises InvalidScenario, UsageError."""
        return load_cells(
            file, sets=self.sets, inputs=self.inputs, env=self.env, env_sets=self.env_sets, data=data
        )

    def findings_in(self, file: Path, data: bytes) -> tuple[Finding, ...]:
        """All findings of a file that had these bytes."""
        try:
            return self.load(file, data).warnings
        except InvalidScenario as err:
            return err.findings
