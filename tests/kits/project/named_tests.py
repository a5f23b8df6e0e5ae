"""The names of all tests: pages of docs/ name some, and these must exist."""

import re

from tests.kits import REPOSITORY

__all__ = ["TESTS"]

TESTS = {
    name
    for file in (REPOSITORY / "tests").glob("**/test_*.py")
    for name in re.findall(r"^(?:async )?def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE)
}
