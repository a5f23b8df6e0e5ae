"""Paths as code hosts show findings by: relative to the root of the repository that holds the working directory."""

from pathlib import Path

from offbus.named_files import repository_of

__all__ = ["in_repository", "repository"]


def repository() -> Path:
    """The folder with `.git` that holds the working directory; without one that directory itself."""
    here = Path.cwd().resolve()
    return repository_of(here) or here


def in_repository(file: str, root: Path) -> str | None:
    """A file's path below `root`, with slashes; None when it is elsewhere."""
    path = Path(file).resolve()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else None
