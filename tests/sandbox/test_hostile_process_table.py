"""What a process makes of its files in /proc does not fill the sandbox's memory."""

import subprocess
import sys
import tracemalloc

import pytest

from offbus_sandbox.processes.table import Process
from tests.kits import REPOSITORY


def test_an_environment_without_end_is_read_up_to_a_limit() -> None:
    program = REPOSITORY / "tests/kits/agent/bomb.py"
    command = [sys.executable, str(program), "environment", str(200 << 20)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            if process.stdout.readline() != "ready\n":
                pytest.skip("this kernel has no PR_SET_MM_MAP")
            found = Process.read(process.pid)
            assert found is not None
            tracemalloc.start()
            assert found.environment() == {}
            assert tracemalloc.get_traced_memory()[1] < 100 << 20
        finally:
            tracemalloc.stop()
            process.kill()
