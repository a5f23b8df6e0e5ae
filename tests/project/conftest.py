"""What the tests of the project as a whole share: its folder, and an environment with the example package."""

import sysconfig
from pathlib import Path

import pytest

from tests.kits.project.project_venv import DATABASE, EXAMPLE, REPOSITORY, make_venv, pip_install


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def example_venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the example packages installed, in which this one's packages (offbus among them) are seen.

    Only the examples are installed anew: that needs no network and takes seconds.
    """
    folder = tmp_path_factory.mktemp("example") / "venv"
    make_venv(folder)
    ours = sysconfig.get_path("purelib")
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    (site / "ours.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
    pip_install(folder, ["--no-deps", "--no-build-isolation", "--no-index", str(EXAMPLE), str(DATABASE)])
    return folder
