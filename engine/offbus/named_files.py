"""Which files a scenario may name: those of its repository, or of its folder where that is in none; links followed.

A scenario may be a stranger's proposal, and it is read where credentials are: `validate` in CI, `run` at a desk. So a
name that leads elsewhere is refused, whichever way it does, and so is all below `.git`: a checkout in CI has its token
there. One rule for all files that a scenario names, those that it inlines (`uses: scenario`) and those that its steps
read (`offbus.step.Reads`); a file that only its user names (`offbus.environment.UsersChoice`, `--inputs`) may be
anywhere. A step that reads a file whose name is known only during the run asks here itself.
"""

import os
from pathlib import Path

from offbus.errors import UsageError

__all__ = ["NamedFiles", "repository_of"]

_GIT = ".git"


def repository_of(folder: Path) -> Path | None:
    """The folder with `.git` that holds this one, links followed; None without one."""
    real = folder.resolve()
    return next((one for one in (real, *real.parents) if os.path.exists(one / _GIT)), None)  # noqa: PTH110  never raises


class NamedFiles:
    """What the scenario in this folder may name."""

    def __init__(self, folder: Path) -> None:
        self._repository = repository_of(folder)
        self._root = self._repository or folder.resolve()

    def real(self, path: Path) -> Path:
        """Where a file really is, whether or not it is there. Raises UsageError where that is not allowed."""
        try:
            real = path.resolve()
        except (OSError, ValueError, RuntimeError) as err:  # a loop of links; a name with a NUL
            why = "it holds a NUL" if "\0" in str(path) else "it leads in a circle, or is too long"
            raise UsageError(f"{path}: no file can have this name, as {why}") from err
        if not real.is_relative_to(self._root):
            raise UsageError(f"{path} is outside of {self._where}", hint=self._hint)
        if _GIT in map(str.casefold, real.relative_to(self._root).parts):
            raise UsageError(f"{path} is below .git, which is git's own", hint=self._hint)
        return real

    @property
    def _where(self) -> str:
        what = "folder" if self._repository is None else "repository"
        return f"the {what} of the scenario, {self._root}"

    @property
    def _hint(self) -> str:
        if self._repository is None:
            return "a file that a scenario names is below its folder, as that is in no git repository"
        return "a file that a scenario names is in its repository: copy it there"
