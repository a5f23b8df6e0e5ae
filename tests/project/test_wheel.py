"""The wheel is what users get: it holds everything, is tagged for what it runs on, and works where nothing else is."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.kits.project.project_venv import EXAMPLE, REPOSITORY, Venv, make_venv, pip_install

PACKAGES = ("offbus", "offbus_agent", "offbus_sandbox", "offbus_steps")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    """The files in it."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_it_is_tagged_for_every_linux_of_ten_years(wheel: Path) -> None:
    """The shim needs no glibc symbol newer than 2.17, which is manylinux2014 (PEP 599)."""
    assert "-py3-none-manylinux_2_17_" in wheel.name


@pytest.mark.parametrize(
    "library",
    ["liboffbus.so", "offbus-kmsg-helper", "standin/libcuda.so.1", "standin/libnvidia-ml.so.1"],
    ids=lambda name: Path(name).name,
)
def test_it_holds_the_c_parts(names: set[str], library: str) -> None:
    assert f"offbus_agent/native/{library}" in names


def test_the_kernel_log_helper_can_be_started(wheel: Path) -> None:
    """pip makes a file executable that is so in the archive."""
    with zipfile.ZipFile(wheel) as archive:
        entry = archive.getinfo("offbus_agent/native/offbus-kmsg-helper")
    assert entry.external_attr >> 16 & 0o111 == 0o111


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_is_there_whole_and_typed(names: set[str], package: str) -> None:
    [source] = REPOSITORY.glob(f"*/{package}")
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=source,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    wanted = {f"{package}/{name}" for name in tracked if Path(source, name).exists()}
    assert f"{package}/py.typed" in wanted
    assert wanted - names == set()


def test_nothing_else_is_in_it(names: set[str]) -> None:
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_it_works_in_an_empty_environment_with_a_third_partys_package(wheel: Path, tmp_path: Path) -> None:
    """The only test here that needs a package registry: pip brings the dependencies."""
    make_venv(tmp_path / "venv")
    pip_install(tmp_path / "venv", [str(wheel), str(EXAMPLE)])
    venv = Venv(tmp_path / "venv", tmp_path / "state")
    assert "recover" in venv.run("offbus", "--help", cwd=tmp_path).stdout
    (tmp_path / "greeting.yaml").write_text((EXAMPLE / "greeting.yaml").read_text())
    venv.run("offbus", "run", "greeting.yaml", cwd=tmp_path)
    venv.run("offbus", "local", "--help", cwd=tmp_path)
