"""The lists of tests on docs/guarantees.md and docs/timers.md: what is marked is on the page, and nothing else."""

from pathlib import Path

import pytest

from docs.proofs import LAWS, Proof, ProofError, proof_text, proofs, refuse_unknown

MARKED = """
import pytest
@pytest.mark.guarantee("G2", "G1")
@pytest.mark.parametrize("n", [1])
async def test_async(n): ...
class TestIt:
    @pytest.mark.timer("engine/clock.py")
    def test_in_a_class(self): ...
def test_unmarked(): ...
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with a marked test."""
    write(tmp_path, "tests/deep/test_some.py", MARKED)
    write(
        tmp_path,
        "engine/clock.py",
        "from datetime import timedelta\nGRACE = timedelta(seconds=3)\nN = 4\nWAIT_S = 0.5\n",
    )
    return tmp_path


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_marked_tests_are_found_wherever_they_stand(root: Path) -> None:
    some = "tests/deep/test_some.py"
    assert proofs(root) == {
        "G1": [Proof(some, "test_async")],
        "G2": [Proof(some, "test_async")],
        "engine/clock.py": [Proof(some, "test_in_a_class")],
    }


def test_a_guarantee_lists_its_tests_by_file_and_laws_first(root: Path) -> None:
    law = 'import pytest\n@pytest.mark.guarantee("G1")\ndef test_law(): ...\n'
    write(root, LAWS, law)
    assert proof_text("G1", proofs(root), root) == (
        f"- [{LAWS}](../{LAWS}) (law): `test_law`\n"
        "- [tests/deep/test_some.py](../tests/deep/test_some.py): `test_async`\n"
    )


def test_a_timer_lists_the_times_of_its_module_too(root: Path) -> None:
    assert proof_text("engine/clock.py", proofs(root), root) == (
        "`GRACE = timedelta(seconds=3)`, `WAIT_S = 0.5`\n\n"
        "- [tests/deep/test_some.py](../tests/deep/test_some.py): `test_in_a_class`\n"
    )


def test_what_no_test_shows_is_refused(root: Path) -> None:
    with pytest.raises(ProofError, match=r'no test is marked @pytest.mark.guarantee\("G3"\)'):
        proof_text("G3", proofs(root), root)
    with pytest.raises(ProofError, match=r'no test is marked @pytest.mark.timer\("engine/other.py"\)'):
        proof_text("engine/other.py", proofs(root), root)


def test_a_timer_of_a_module_that_is_gone_is_refused(root: Path) -> None:
    (root / "engine" / "clock.py").unlink()
    with pytest.raises(ProofError, match=r"clock.py: there is no such module"):
        proof_text("engine/clock.py", proofs(root), root)


def test_a_mark_that_no_page_knows_is_refused(root: Path) -> None:
    refuse_unknown(proofs(root), ["G1", "G2", "engine/clock.py", "G9"])
    with pytest.raises(ProofError, match=r"test_some.py: test_async is marked 'G2'\nno such part in docs/"):
        refuse_unknown(proofs(root), ["G1", "engine/clock.py"])


@pytest.mark.parametrize(
    "text",
    [
        "@pytest.mark.guarantee()\ndef test_it(): ...",
        "@pytest.mark.guarantee(1)\ndef test_it(): ...",
        "@pytest.mark.timer(NAME)\ndef test_it(): ...",
        '@pytest.mark.timer(module="a.py")\ndef test_it(): ...',
        '@pytest.mark.guarantee("G1")\ndef no_test(): ...',
    ],
)
def test_a_mark_that_cannot_be_read_is_refused_with_its_place(root: Path, text: str) -> None:
    write(root, "tests/test_odd.py", f"import pytest\n{text}\n")
    with pytest.raises(
        ProofError, match=r'tests/test_odd.py:2: write @pytest.mark.guarantee\("G1"\) above a test'
    ):
        proofs(root)
