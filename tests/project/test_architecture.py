"""docs/architecture.md: its map has every folder of every package, and the layers that `make check` enforces."""

import re
import tomllib
from typing import Any

import pytest

from tests.kits import REPOSITORY

TEXT = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
PACKAGES = ("engine/offbus", "steps/offbus_steps", "agent/offbus_agent", "sandbox/offbus_sandbox")
LAYERS = re.compile(r"^Layers of `([\w.]+)`: (.*?)\.$", re.MULTILINE | re.DOTALL)


def contracts() -> dict[str, list[set[str]]]:
    """The layers inside each package, top first."""
    pyproject: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    return {
        contract["containers"][0]: [set(layer.split(" : ")) for layer in contract["layers"]]
        for contract in pyproject["tool"]["importlinter"]["contracts"]
        if "containers" in contract
    }


def chapter(package: str) -> str:
    """What the map says of a package."""
    return TEXT.partition(f"### `{package}/`")[2].partition("\n### ")[0]


def test_the_layers_are_those_of_the_contracts() -> None:
    shown = {
        container: [set(re.findall(r"`(\w+)`", layer)) for layer in layers.split(">")]
        for container, layers in LAYERS.findall(TEXT)
    }
    assert shown == contracts()


@pytest.mark.parametrize("package", PACKAGES)
def test_every_folder_of_a_package_is_in_the_map(package: str) -> None:
    root = REPOSITORY / package
    folders = {path.parent.relative_to(root).as_posix() for path in root.glob("*/**/__init__.py")}
    rows = "\n".join(line for line in chapter(package).splitlines() if line.startswith("|"))
    named = set(re.findall(r"`([\w/]+)/`", rows))
    missing = {one for one in folders if one not in named and one.split("/")[-1] not in named}
    assert folders
    assert not missing, f"docs/architecture.md has no line for {sorted(missing)} of {package}"


def test_every_program_of_the_table_is_where_it_says() -> None:
    table = TEXT.partition("## The programs\n")[2].partition("\n## ")[0]
    code = re.findall(r"\| `([^`|]+)` \|$", table, re.MULTILINE)
    assert len(code) == 11
    for one in code:
        stem, _, names = one.partition("{")
        for name in names.rstrip("}").split(","):
            assert (REPOSITORY / stem / name).exists(), one
