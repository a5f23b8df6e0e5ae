"""Whatever a manifest holds: objects that can be sent, or one clear error; never another exception, never a wait."""

import json
import os
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from offbus.errors import OffbusError, StepError
from offbus_sandbox.store.database import Database
from offbus_sandbox.store.store import Store
from offbus_steps.kinds import KINDS
from offbus_steps.port import PortError
from offbus_steps.workloads.manifest import ALLOWED_KINDS, read_manifest
from offbus_steps.workloads.target import Target
from offbus_steps.workloads.workload_kinds import WORKLOAD_KINDS, workload_of
from tests.kits import REPOSITORY

SCENARIOS = REPOSITORY / "scenarios"
GOOD = [yaml.safe_load(path.read_text()) for path in sorted((SCENARIOS / "targets").glob("*.yaml"))]
QUICK = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))

keys = st.sampled_from(
    [
        "name",
        "namespace",
        "labels",
        "annotations",
        "spec",
        "template",
        "containers",
        "replicas",
        "kind",
        "ports",
    ]
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-3, 70000)
    | st.floats()
    | st.dates()
    | st.binary(max_size=4)
    | st.text(max_size=5)
    | st.sampled_from(["Deployment", "v1", "apps/v1", "default", "10%"])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys | st.integers(0, 3), inner, max_size=4),
    max_leaves=8,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, item in items for found in places(item, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], other: Any) -> Any:
    """The document with another value in one place."""
    if not path:
        return other
    copy = value.copy()
    copy[path[0]] = replaced(value[path[0]], path[1:], other)
    return copy


@st.composite
def nearly_good(draw: Any) -> Any:
    """A good manifest of ours with wrong values in up to three places."""
    document = draw(st.sampled_from(GOOD))
    for _ in range(draw(st.integers(1, 3))):
        document = replaced(document, draw(st.sampled_from(places(document))), draw(values))
        if not isinstance(document, dict | list):
            break
    return document


def objects_in(tmp_path: Path, text: bytes) -> list[dict[str, Any]]:
    """What a file with that text holds; none when it is refused."""
    path = tmp_path / "manifest.yaml"
    path.write_bytes(text)
    try:
        return read_manifest(path)
    except StepError as err:
        said = err.message
    assert str(path) in said
    assert "\n" not in said
    return []


def can_be_sent(obj: dict[str, Any]) -> None:
    """JSON, of a kind and in a place that `deploy` may use, with a name."""
    assert json.loads(json.dumps(obj, allow_nan=False)) == obj
    assert obj["kind"] in ALLOWED_KINDS
    assert isinstance(obj["metadata"]["name"], str)
    assert KINDS[obj["kind"]].namespaced == ("namespace" in obj["metadata"])


@QUICK
@given(
    text=st.binary(max_size=60)
    | st.text(alphabet="{}[]:-&*!|>'\"#\t\n abc1\x00\x85é", max_size=40).map(str.encode)
)
def test_any_bytes(tmp_path: Path, text: bytes) -> None:
    for obj in objects_in(tmp_path, text):
        can_be_sent(obj)


@QUICK
@given(document=values | nearly_good())
def test_any_document(tmp_path: Path, document: Any) -> None:
    for obj in objects_in(tmp_path, yaml.safe_dump(document, allow_unicode=True).encode()):
        can_be_sent(obj)


@QUICK
@given(document=nearly_good())
def test_what_is_read_is_stored_or_refused(tmp_path: Path, document: Any) -> None:
    """The local store and the adapters of workloads take what is sent, or refuse it in words."""
    (tmp_path / "store").unlink(missing_ok=True)
    for obj in objects_in(tmp_path, yaml.safe_dump(document).encode()):
        database = Database(tmp_path / "store")
        with closing(database), suppress(PortError, OffbusError):
            stored = Store(database).create(obj)
            if stored["kind"] in WORKLOAD_KINDS:
                Target.of(workload_of(stored))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [1\nb: 2", ":2:2 is not YAML"),
        ("a: &x [1]\nb: *x", ":2:4 uses a YAML alias"),
        ("[" * 5000, "is not YAML"),
        ("[" * 200 + "]" * 200, "nested more than 100 levels"),
        ("{kind: Service, metadata: {name: [1]}}", "document 1: metadata.name cannot be [1]"),
        ("{kind: Service, metadata: {name: ''}}", "metadata.name cannot be ''"),
        ("{kind: Service, metadata: {}}", "metadata.name is missing"),
        ("{kind: [1], metadata: {name: a}}", "kind [1] cannot be deployed"),
        ("{kind: Pod, apiVersion: v1, metadata: {name: a}}", "kind 'Pod' cannot be deployed"),
        ("{kind: Service, apiVersion: [v1], metadata: {name: a}}", "Service needs apiVersion v1"),
        (
            "{kind: Service, apiVersion: v1, metadata: {name: a, namespace: 3}}",
            "metadata.namespace cannot be 3",
        ),
        (
            "{kind: Service, apiVersion: v1, metadata: {name: a, labels: [b]}}",
            "metadata.labels must be a mapping",
        ),
        (
            "{kind: Service, apiVersion: v1, metadata: {name: a, labels: {b: 1}}}",
            "metadata.labels must be a mapping",
        ),
        ("{kind: Service, apiVersion: v1, metadata: {name: a}, spec: 3}", "spec must be a mapping"),
        ("{kind: Service, apiVersion: v1, metadata: {name: a}, x: !!timestamp 2001-01-01}", "x as a date"),
        ("{kind: Service, apiVersion: v1, metadata: {name: a}, x: !!binary YQ==}", "YAML reads x as a bytes"),
        ("{kind: Service, apiVersion: v1, metadata: {name: a}, x: [{1: 2}]}", "x[0] has the key 1"),
        ("{kind: Service, apiVersion: v1, metadata: {name: a}, x: .nan}", "x is nan"),
        ("a: !!timestamp 2001-99-99", "is not YAML"),
        ("- 1", ":1:1, document 1 is not a Kubernetes object"),
        (
            "---\n# nothing\n---\n# {}\n---\n\n  {kind: Service, metadata: {}}",
            ":7:3, document 3: metadata.name is",
        ),
        ("{kind: List, items: 3}", "items must be a list"),
        (
            "{kind: List, items: [{kind: Service, metadata: {name: a}}, 3]}",
            "document 1, item 1: Service needs",
        ),
        ("kind: List\nitems:\n- kind: List\n  items:\n  - 3", ":5:5, document 1, item 1, item 1 is not"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(text)
    with pytest.raises(StepError) as caught:
        read_manifest(path)
    assert says in caught.value.message
    assert "\n" not in caught.value.message


HUGE = "0x" + "f" * 6000


@pytest.mark.parametrize(
    ("text", "at"),
    [
        (f"kind: Service\nmetadata: {{name: {HUGE}}}", ":2:18"),
        (f"kind: {HUGE}\nmetadata: {{name: a}}", ":1:7"),
        ("{kind: Service, metadata: {name: a, namespace: -0x8000000000000001}}", ":1:48"),
        ("{kind: Service, x: [18446744073709551616]}", ":1:21"),
        ("a: " + "9" * 5000, ":1:4"),
        ("a: 0b" + "1" * 65, ":1:4"),
    ],
    ids=["name", "kind", "negative", "one too large", "decimal", "binary"],
)
def test_an_integer_of_more_than_64_bits_is_refused_where_it_stands(
    tmp_path: Path, text: str, at: str
) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(text)
    with pytest.raises(StepError) as caught:
        read_manifest(path)
    assert caught.value.message == (
        f"the manifest {path}{at} cannot be read: an integer has more than 64 bits; quote what is text"
    )


def test_the_largest_integers_are_read(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(
        "{kind: Service, apiVersion: v1, metadata: {name: a}, x: [18446744073709551615, -9223372036854775808]}"
    )
    assert read_manifest(path)[0]["x"] == [2**64 - 1, -(2**63)]


def test_a_long_name_or_kind_is_told_in_short(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    for text in (
        f"{{kind: Service, metadata: {{name: {'n' * 900_000}}}}}",
        f"{{kind: {'k' * 900_000}, metadata: {{name: a}}}}",
        f"{{kind: Service, metadata: {{name: a}}, x: {{{'9' * 18}: {'n' * 100}, ? [{'n, ' * 9000}] : 1}}}}",
    ):
        path.write_text(text)
        with pytest.raises(StepError) as caught:
            read_manifest(path)
        assert len(caught.value.message) < 1000


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, says in (
        (tmp_path / "pipe", "a pipe"),
        (tmp_path, "a folder"),
        (Path("/dev/zero"), "a device"),
    ):
        with pytest.raises(StepError, match=f"it is {says}, not a file"):
            read_manifest(path)
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(StepError, match="larger than 1048576 bytes"):
        read_manifest(tmp_path / "huge")
