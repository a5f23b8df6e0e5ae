"""The kept inputs of a fuzzer, in the repository: small, and what was once found is among them."""

from pathlib import Path

__all__ = ["CORPORA", "kept", "kept_in"]

CORPORA = Path(__file__).parent / "corpora"


def kept_in(name: str) -> Path:
    """The folder of a target's kept inputs."""
    return CORPORA / name


def kept(name: str) -> list[Path]:
    """A target's kept inputs."""
    return sorted(kept_in(name).iterdir())
