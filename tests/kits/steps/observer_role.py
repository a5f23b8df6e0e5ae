"""The role of docs/observe.md."""

import re
from typing import Any

import yaml

from tests.kits import REPOSITORY

__all__ = ["shown_role"]


def shown_role() -> dict[str, Any]:
    """As the page shows it."""
    page = (REPOSITORY / "docs/observe.md").read_text(encoding="utf-8")
    [block] = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    role: dict[str, Any] = yaml.safe_load(block)
    return role
