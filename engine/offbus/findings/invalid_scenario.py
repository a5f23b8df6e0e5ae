"""The error that carries all findings of a scenario."""

from collections.abc import Iterable

from offbus.errors import UsageError
from offbus.findings.model import Finding, in_order
from offbus.findings.render_text import render

__all__ = ["InvalidScenario"]


class InvalidScenario(UsageError):
    """Raised by `load_scenario` with every finding, sorted by position. Its message is all of them, ready to print."""

    def __init__(self, path: str, findings: Iterable[Finding]) -> None:
        self.path = path
        self.findings = in_order(findings)
        super().__init__(f"{self.summary}\n{render(self.findings)}")

    @property
    def summary(self) -> str:
        """One line: which file, and how many findings."""
        count = len(self.findings)
        return f"{self.path} is not a valid scenario: {count} finding{'' if count == 1 else 's'}"
