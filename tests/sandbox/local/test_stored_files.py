"""The files of an ended sandbox go into the folder of its run, and of no other."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from offbus.masking import Masking
from offbus.open_run import opened
from offbus.runs import RunFolder
from offbus_sandbox.layout import Layout
from offbus_sandbox.local.own_sandbox import make_own, own_of, store_files

MEMORY = Path("/dev/shm")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    made = tmp_path / "run"
    made.mkdir(mode=0o700)
    return made


def ended(run: Path) -> Layout:
    """A sandbox of a run that has ended, with a file, a link and a folder."""
    layout = Layout.of(own_of(run))
    make_own(layout, run)
    layout.forget_alias()
    (layout.logs / "node-1").mkdir(parents=True, exist_ok=True)
    (layout.logs / "node-1" / "kmsg").write_text("a line")
    (layout.real / "link").symlink_to("log/node-1/kmsg")
    return layout


@pytest.fixture(params=["one file system", "another file system"])
def state(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "state"
    if request.param == "another file system":
        if not MEMORY.is_dir() or MEMORY.stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("there is one file system")
        home = request.getfixturevalue("in_memory")
    monkeypatch.setenv("XDG_STATE_HOME", str(home))


@pytest.fixture
def in_memory() -> Iterator[Path]:
    with TemporaryDirectory(dir=MEMORY) as made:
        yield Path(made)


@pytest.mark.usefixtures("state")
def test_they_are_moved_into_the_run(run: Path) -> None:
    layout = ended(run)
    with opened(RunFolder(run)):
        assert store_files(layout, run, Masking()) == run / "local"
    assert not layout.real.exists()
    assert (run / "local/link").readlink() == Path("log/node-1/kmsg")
    assert (run / "local/link").read_text() == "a line"
    with opened(RunFolder(run)):
        assert store_files(ended(run), run, Masking()) == run / "local-2"


@pytest.mark.usefixtures("state")
def test_they_are_moved_into_the_folder_that_is_open_and_not_what_replaced_it(
    run: Path, tmp_path: Path
) -> None:
    layout = ended(run)
    (tmp_path / "other").mkdir()
    with opened(RunFolder(run)):
        run.rename(tmp_path / "moved")
        (tmp_path / "other").rename(run)
        store_files(layout, run, Masking())
    assert list(run.iterdir()) == []
    assert (tmp_path / "moved/local/log/node-1/kmsg").read_text() == "a line"


def test_a_link_does_not_have_the_sandbox_of_the_run_that_it_leads_to(run: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(run)
    assert own_of(tmp_path / "link") != own_of(run)
