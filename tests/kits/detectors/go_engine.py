"""Go's regular expressions, for patterns of detectors that are written in Go."""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

__all__ = ["go_matches", "has_go"]

MODULE = Path(__file__).parent / "matcher"


def has_go() -> bool:
    """Whether there is a Go to build with."""
    return shutil.which("go") is not None


def go_matches(questions: Sequence[tuple[str, str]], folder: Path) -> list[list[str] | None]:
    """For each pattern and text the groups that Go finds, the whole match first; None where it finds nothing."""
    program = folder / "matcher"
    environment = os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "-mod=mod"}
    command = ["nice", "-n", "15", "go", "build", "-o", str(program), "."]
    subprocess.run(command, cwd=MODULE, env=environment, check=True, timeout=600)
    asked = json.dumps([{"Pattern": pattern, "Text": text} for pattern, text in questions])
    done = subprocess.run(
        [str(program)], input=asked, capture_output=True, text=True, check=True, timeout=100
    )
    found: list[list[str] | None] = json.loads(done.stdout)
    return found
