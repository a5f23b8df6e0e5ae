"""Manifests as people and tools write them: read as kubectl reads them, and counted as a person counts."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbus.errors import StepError
from offbus_steps.workloads.manifest import read_manifest

CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: d}\n"


def value(tmp_path: Path, text: str) -> Any:
    """What a plain scalar is read as."""
    (tmp_path / "m.yaml").write_text(f"{CONFIG}data:\n  x: {text}\n")
    (obj,) = read_manifest(tmp_path / "m.yaml")
    return obj["data"]["x"]


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("22:30", "22:30"),
        ("65:00.0", "65:00.0"),
        ("-1:30", "-1:30"),
        ("0000:3b:00.0", "0000:3b:00.0"),
        ("2001-01-01", "2001-01-01"),
        ("2001-12-14t21:59:43.10-05:00", "2001-12-14t21:59:43.10-05:00"),
        ("=", "="),
        ("1.2.3", "1.2.3"),
        ("0x1F", 31),
        ("0o17", 15),
        ("017", 15),
        ("08", 8.0),
        ("0B11", 3),
        ("-0x_f", -15),
        ("NO", False),
        ("1_000", 1000),
        ("-1", -1),
        ("+1", 1),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1.", 1.0),
        ("1e3", 1000.0),
        ("yes", True),
        ("off", False),
        ("y", True),
        ("null", None),
        ("~", None),
        ("nullable", "nullable"),
        ("1m", "1m"),
        ("'1'", "1"),
        (".", "."),
        ("_1", "_1"),
        ("0x", "0x"),
    ],
)
def test_scalars_are_what_kubectl_makes_of_them(tmp_path: Path, text: str, read: Any) -> None:
    """go.yaml.in/yaml/v2 (resolve.go), which sigs.k8s.io/yaml uses: no base 60, and timestamps are text."""
    found = value(tmp_path, text)
    assert (found, type(found)) == (read, type(read))


@given(st.from_regex(r"[0-9]{1,4}(:[0-5]?[0-9]){1,3}(\.[0-9]{0,3})?", fullmatch=True))
def test_what_has_colons_is_text(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    assert value(tmp_path_factory.mktemp("m"), text) == text


def test_empty_documents_count_and_give_nothing(tmp_path: Path) -> None:
    """As helm writes them, with a comment for what a chart's template left out."""
    parts = [
        "# Source: a.yaml",
        CONFIG,
        "# Source: b.yaml",
        "kind: Secret\napiVersion: v1\nmetadata: {name: s}",
    ]
    file = tmp_path / "m.yaml"
    file.write_text("".join(f"---\n{one}\n" for one in parts[:3]))
    assert [one["kind"] for one in read_manifest(file)] == ["ConfigMap"]
    file.write_text("".join(f"---\n{one}\n" for one in parts))
    with pytest.raises(StepError, match=r"m.yaml:11:1, document 4: kind 'Secret'"):
        read_manifest(file)


def test_the_items_of_a_list_are_taken_one_by_one(tmp_path: Path) -> None:
    indented = CONFIG.replace("\n", "\n  ")
    file = tmp_path / "m.yaml"
    text = (
        f"apiVersion: v1\nkind: List\nitems:\n- {indented}\n- {indented}\nmetadata: {{resourceVersion: ''}}\n"
    )
    file.write_text(f"{CONFIG}---\n{text}")
    assert [one["metadata"]["name"] for one in read_manifest(file)] == ["c", "c", "c"]
    file.write_text("{apiVersion: v1, kind: List, items: }")
    assert read_manifest(file) == []
