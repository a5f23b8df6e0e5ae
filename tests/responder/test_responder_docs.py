"""docs/responder.md and the settings say the same."""

import json
import re

import pytest

from offbus_sandbox.responder.config import ResponderConfig
from tests.kits import REPOSITORY

DOCS = REPOSITORY / "docs" / "responder.md"


def rows() -> dict[str, str]:
    """Setting to default, from the table."""
    found = re.findall(r"^\| `([a-z_]+)` \| (.+?) \|", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    return dict(found)


def test_every_setting_is_in_the_table_and_no_other() -> None:
    assert set(rows()) == set(ResponderConfig.model_fields)


@pytest.mark.parametrize("name", [n for n in ResponderConfig.model_fields if n != "system_namespaces"])
def test_the_table_tells_the_default(name: str) -> None:
    told = re.findall(r"`(.+?)`", rows()[name])[0]
    default = ResponderConfig().model_dump(mode="json")[name]
    assert told == default if isinstance(default, str) else json.loads(told) == default
