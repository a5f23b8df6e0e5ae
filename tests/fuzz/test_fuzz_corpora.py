"""Every kept input of the fuzzers, played without one: what was found once stays repaired, on any machine."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.kits import REPOSITORY
from tests.kits.fuzz.corpus import CORPORA, kept
from tests.kits.fuzz.in_c import IN_C
from tests.kits.fuzz.targets import TARGETS

INPUTS = [(name, path) for name in TARGETS for path in kept(name)]


@pytest.mark.parametrize(("name", "path"), INPUTS, ids=[f"{name}-{path.name[:16]}" for name, path in INPUTS])
def test_a_kept_input_breaks_no_promise(name: str, path: Path) -> None:
    TARGETS[name](path.read_bytes())


def test_every_target_has_a_corpus_and_every_corpus_a_target_and_they_are_small() -> None:
    assert {folder.name for folder in CORPORA.iterdir()} == {*TARGETS, *IN_C}
    in_c = [path for name in IN_C for path in kept(name)]
    assert sum(path.stat().st_size for path in (*in_c, *(path for _, path in INPUTS))) < 500_000


def test_a_target_that_does_not_exist_is_refused_with_those_that_do() -> None:
    command = [sys.executable, "-m", "tests.kits.fuzz.run", "jurnal"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=100)
    assert done.returncode == 2
    assert "no such target: jurnal; there are proc, journal, records" in done.stderr
