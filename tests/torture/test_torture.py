"""Two minutes of `make torture` among the other tests; a fixed seed, so that a failure can be had again."""

import pytest

from tests.kits.torture import run


@pytest.mark.slow
@pytest.mark.torture
@pytest.mark.timeout(900)
def test_whatever_is_killed_nothing_is_left(capfd: pytest.CaptureFixture[str]) -> None:
    code = run.main(["--seed", "1", "--minutes", "2"])
    told = capfd.readouterr().out
    assert told.splitlines()[-1].endswith("kills, residue 0"), told
    assert code == 0
