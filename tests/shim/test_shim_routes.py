"""Every name of the list, by every route to it, sees the fault; and none does while nothing is armed."""

import subprocess
from pathlib import Path

import pytest

from tests.kits.shim import route_programs
from tests.kits.shim.route_programs import CODES, ROUTES
from tests.kits.shim.shim_node import Node

CASES = [
    (prefix, route) for prefix in CODES for route in ROUTES if (prefix, route) != ("nvml", "cuGetProcAddress")
]


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A driver that has every name."""
    return route_programs.driver(tmp_path_factory.mktemp("routes") / "driver")


def answers(program: Path, environment: dict[str, str]) -> dict[str, str]:
    """What each function answered."""
    done = subprocess.run([program], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(line.rsplit(" ", 1) for line in done.stdout.splitlines())


@pytest.mark.parametrize(("prefix", "route"), CASES)
def test_every_name_sees_the_fault(
    node: Node, tmp_path: Path, libraries: Path, native: Path, prefix: str, route: str
) -> None:
    program = route_programs.program(tmp_path, prefix, route, libraries)
    environment = node.environment(LD_LIBRARY_PATH=str(libraries))
    disarmed = answers(program, environment)
    node.arm(cuda_err=CODES["cu"], nvml_err=CODES["nvml"])
    armed = answers(program, environment)
    proxy = node.environment(
        shim=False, LD_LIBRARY_PATH=f"{native / 'proxy'}:{libraries}", OFFBUS_PAGE_DIR=str(node.folder)
    )
    through_proxy = answers(program, proxy)
    expected = route_programs.faulted(prefix)
    assert len(armed) > 300
    assert set(disarmed.values()) == {"0"}
    assert {name for name, code in armed.items() if code == str(CODES[prefix])} == expected
    assert {name for name, code in armed.items() if code == "0"} == armed.keys() - expected
    assert through_proxy == armed
