"""A picture of a place: everything that a run may touch there, read without offbus' own fingerprint or port.

Objects come straight from the supervisor's database, faults from the agents' own state files, armed words from the
pages, processes and their environment from /proc, files from the folders. What is new by nature is left out: uids,
versions, times, the names that controllers make up, the kernel log's lines, log files.

Reads only. An object or process that goes away meanwhile is not in the picture. Raises sqlite3.Error, OSError.
"""

import json
import os
import re
import sqlite3
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from tests.kits.torture.sandbox import TortureSandbox

__all__ = ["Picture", "differences", "picture"]

Picture = Mapping[str, Any]
"""Flat: a name for each thing, and its value as far as it must be the same again."""

NOT_COMPARED = frozenset({"Event", "Lease"})
"""Kinds that only tell what happened."""
SLOT_OFFSET, SLOT_SIZE, SLOTS, FLAGS_OFFSET = 128, 192, 16, 22
"""shim/include/offbus_page.h: where the slots lie in `ctl`, and a slot's flags; bit 0 is ENABLED."""
MADE_UP = re.compile(r"-[0-9a-f]{5,10}(-[0-9a-z]{5})?(?=/|$)")
"""What controllers append to the names of ReplicaSets and pods."""
BY_CONTROLLERS = ("deployment.kubernetes.io/", "pod-template-hash")
LOADED = ("LD_PRELOAD", "OFFBUS_PAGE_DIR", "KEPT")
"""Variables of a pod's processes that a run sets, and the one that the workload sets itself."""


def picture(sandbox: TortureSandbox) -> Picture:
    """Everything, now."""
    found: dict[str, Any] = {}
    for part in (_objects(sandbox), _nodes(sandbox), _processes(sandbox), _files(sandbox)):
        found.update(part)
    return found


def differences(before: Picture, after: Picture) -> list[str]:
    """What is not as it was, one line each."""
    return [
        f"{name}: was {before.get(name, 'not there')!r}, is {after.get(name, 'not there')!r}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def _objects(sandbox: TortureSandbox) -> Iterator[tuple[str, Any]]:
    counts: Counter[str] = Counter()
    with closing(sqlite3.connect(f"file:{sandbox.layout.store}?mode=ro", uri=True)) as database:
        bodies = [json.loads(body) for (body,) in database.execute("SELECT body FROM objects")]
    for body in sorted(bodies, key=_name):
        if body["kind"] in NOT_COMPARED:
            continue
        counts[_name(body)] += 1
        name = f"{_name(body)} #{counts[_name(body)]}"
        yield f"{name} metadata", _metadata(body["metadata"])
        yield f"{name} spec", _spec(body)
        if body["kind"] == "Node":
            yield f"{name} conditions", _conditions(body)
        if body["kind"] == "Pod":
            yield f"{name} ready", _is_ready(body)


def _name(body: Mapping[str, Any]) -> str:
    meta = body["metadata"]
    return f"{body['kind']}/{meta.get('namespace', '')}/{MADE_UP.sub('', meta['name'])}"


def _metadata(meta: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: dict(meta.get(key) or {}) for key in ("labels", "annotations")}
    for items in kept.values():
        for key in [key for key in items if key.startswith(BY_CONTROLLERS)]:
            del items[key]
    kept["annotations"].pop("dgxc.nvidia.com/devices", None)  # which GPU it is depends on the node
    return {**kept, "going": bool(meta.get("deletionTimestamp")), "finalizers": meta.get("finalizers") or []}


def _spec(body: Mapping[str, Any]) -> Any:
    spec = dict(body.get("spec") or {})
    spec.pop("nodeName", None)
    return json.loads(
        re.sub(r'"pod-template-hash": "[0-9a-f]+"', '"pod-template-hash": ""', json.dumps(spec))
    )


def _conditions(node: Mapping[str, Any]) -> list[str]:
    """Type and status; the time of a transition is history."""
    return sorted(f"{one['type']}={one['status']}" for one in node["status"].get("conditions") or ())


def _is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _nodes(sandbox: TortureSandbox) -> Iterator[tuple[str, Any]]:
    for node in sandbox.nodes:
        page = (node / "run/offbus/page/ctl").read_bytes()
        flags = [
            struct.unpack_from("<H", page, SLOT_OFFSET + number * SLOT_SIZE + FLAGS_OFFSET)[0]
            for number in range(SLOTS)
        ]
        yield (
            f"{node.name} page",
            {"armed": struct.unpack_from("<I", page)[0], "slots": sum(f & 1 for f in flags)},
        )
        yield f"{node.name} faults", list(_faults(node / "var/lib/offbus/faults.json"))


def _faults(state: Path) -> Iterator[str]:
    """Faults that the agent has not forgotten, out of its own file."""
    if state.exists():
        for name, one in json.loads(state.read_text())["faults"].items():
            if not one["forgotten"]:
                yield f"{name} {one['fault']['state']}"


def _processes(sandbox: TortureSandbox) -> Iterator[tuple[str, Any]]:
    mark = f"OFFBUS_SANDBOX={sandbox.layout.id}".encode()
    counts: Counter[str] = Counter()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            env = (entry / "environ").read_bytes().split(b"\0")
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if mark in env or str(sandbox.root) in " ".join(words):
            loaded = [
                one.decode(errors="replace") for one in env if one.decode(errors="replace").startswith(LOADED)
            ]
            nodeless = [re.sub(r"/nodes/[^/]+/", "/nodes/NODE/", one) for one in loaded]
            counts[" ".join([*words[:7], *sorted(nodeless)]).strip()] += 1
    for command, count in counts.items():
        yield f"process {command}", count


def _files(sandbox: TortureSandbox) -> Iterator[tuple[str, Any]]:
    """Below the sandbox. `boot_id` is what the responder's simulated reboot leaves on its node: history."""
    root = sandbox.layout.real
    for folder, _, files in os.walk(root):  # a pod's folder may go away meanwhile: os.walk passes over it
        for file in files:
            path = Path(folder, file)
            name = path.relative_to(root).as_posix()
            if file == "boot_id" or "/log/" in f"/{name}" or name.startswith(("processes/", "store.sqlite")):
                continue
            with suppress(FileNotFoundError):
                yield f"file {re.sub(r'[0-9a-f]{8}-[0-9a-f-]{27}', 'UID', name)}", oct(path.lstat().st_mode)
