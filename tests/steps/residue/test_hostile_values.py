"""What one stranger writes into one object takes a bounded part of a fingerprint, and a change of it still shows."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from offbus.json_values import count_values
from offbus.runner.fingerprint_diff import differences
from offbus_steps.nvsentinel import names
from offbus_steps.port import Object
from offbus_steps.residue.external_changes import external_change
from offbus_steps.residue.others_objects import Touched
from tests.kits.steps.timed_port import deployment, node, pod, timed_bench
from tests.kits.virtual_time import in_virtual_time

HUGE = "," * 1_100_000
MOST_VALUES, MOST_BYTES = 20_000, 1 << 20
"""What a fingerprint of three objects may have, one of which is a stranger's."""


def owned(**owner: str) -> Callable[[str], Object]:
    def make(last: str) -> Object:
        one = pod("web-1", "web", "node-1")
        named = {key: value + last for key, value in owner.items()}
        reference = {
            "apiVersion": "x/v1",
            "kind": "Thing",
            "name": "x",
            "uid": "u",
            "controller": True,
            **named,
        }
        one["metadata"]["ownerReferences"] = [reference]
        return one

    return make


def conditions(*found: dict[str, Any]) -> Callable[[str], Object]:
    def make(last: str) -> Object:
        one = node("node-1")
        told = [{**condition, "reason": condition.get("reason", "r") + last} for condition in found]
        one["status"]["conditions"] = told
        return one

    return make


def marked(what: str, marks: dict[str, str]) -> Callable[[str], Object]:
    def make(last: str) -> Object:
        one = node("node-1")
        key = next(reversed(marks))
        one["metadata"][what] = {**marks, key: marks[key] + last}
        return one

    return make


def tainted(last: str) -> Object:
    taints = [{"key": f"k{n}", "value": "", "effect": "NoSchedule"} for n in range(20_000)]
    return node("node-1", taints=[*taints, {"key": "z", "value": last, "effect": "NoSchedule"}])


def loading(*env: dict[str, str]) -> Callable[[str], Object]:
    def make(last: str) -> Object:
        one = deployment("web", 0)
        container = one["spec"]["template"]["spec"]["containers"][0]
        container["env"] = [*env[:-1], {**env[-1], "value": env[-1]["value"] + last}]
        return one

    return make


UNHEALTHY = {
    "type": names.XID_CHECK,
    "status": "True",
    "reason": f"{names.XID_CHECK}{names.UNHEALTHY_SUFFIX}",
}
WRITTEN = {
    "the owner of a pod": owned(name=HUGE),
    "its kind": owned(kind=HUGE),
    "the reason of a condition": conditions({"type": "X", "status": "True", "reason": HUGE}),
    "its status": conditions({"type": "X", "status": HUGE}),
    "its type": conditions({"type": HUGE, "status": "True"}),
    "very many conditions": conditions(*({"type": f"C{n}", "status": "True"} for n in range(30_000))),
    "very many that look like findings": conditions(
        *({**UNHEALTHY, "type": f"C{n}", "message": ",;" * 200} for n in range(3_000))
    ),
    "very many labels": marked("labels", {f"l{n}": "" for n in range(100_000)}),
    "very many annotations": marked("annotations", {f"l{n}": "" for n in range(20_000)}),
    "a responder's annotation": marked("annotations", {names.QUARANTINE_EVENTS: HUGE}),
    "very many taints": tainted,
    "a variable as drills set it": loading({"name": "OFFBUS_X", "value": HUGE}),
    "its name": loading({"name": f"OFFBUS_{'A' * 1_100_000}", "value": ""}),
    "very many of them": loading(*({"name": f"OFFBUS_{'A' * n}", "value": ""} for n in range(1, 1500))),
}


async def fingerprint(folder: Path, obj: Object) -> dict[str, Any]:
    await anyio.Path(folder).mkdir()
    async with timed_bench(folder, obj) as (one, _port):
        found: dict[str, Any] = await one.cluster.fingerprint()
        return found


@pytest.mark.guarantee("G28")
@pytest.mark.parametrize("what", WRITTEN)
@in_virtual_time
async def test_what_one_stranger_writes_is_bounded_and_a_change_of_it_shows(
    tmp_path: Path, what: str
) -> None:
    before = await fingerprint(tmp_path / "before", WRITTEN[what](""))
    text = json.dumps(before).encode()
    assert len(text) < MOST_BYTES
    assert count_values(text) < MOST_VALUES
    assert await fingerprint(tmp_path / "again", WRITTEN[what]("")) == before
    after = await fingerprint(tmp_path / "after", WRITTEN[what]("x"))
    changed = [item for item, _ in differences(before, after)]
    assert changed
    assert all(external_change(item, before, after, [], Touched.of([])) for item in changed)


@in_virtual_time
async def test_a_drills_own_marks_are_kept_among_very_many(tmp_path: Path) -> None:
    marks = {f"l{n}": "" for n in range(5_000)} | {
        "offbus.dev/run": "abcd1234",
        names.QUARANTINE_EVENTS: "[]",
    }
    for what in ("labels", "annotations"):
        found = await fingerprint(tmp_path / what, marked(what, marks)(""))
        kept = found[f"Node/node-1 metadata.{what}[]"]
        assert kept["offbus.dev/run"] == "abcd1234"
        assert kept[names.QUARANTINE_EVENTS] == "[]"


@in_virtual_time
async def test_the_condition_of_drills_faults_is_kept_among_very_many(tmp_path: Path) -> None:
    others = ({"type": f"C{n}", "status": "True"} for n in range(5_000))
    found = await fingerprint(tmp_path / "one", conditions(*others, UNHEALTHY)(""))
    assert f"Node/node-1 condition {names.XID_CHECK}" in found
