"""The recorder on virtual time: what it writes, what it says that it may have missed, and when it gives up."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest

from offbus.errors import CouldNotRun, UsageError
from offbus_steps.kinds import KINDS
from offbus_steps.nvsentinel import names
from offbus_steps.port import Forbidden, Object, Ref
from offbus_steps.recordings.format import Change, End, Gap, Recording, read_recording
from offbus_steps.recordings.recorder import Recorder, Wanted
from offbus_steps.recordings.writer import RecordingWriter
from offbus_steps.watch.follow import BLIND_AFTER, LONGEST_PAUSE
from tests.kits.steps.timed_port import TimedPort, deployment, node, pod, put
from tests.kits.virtual_time import in_virtual_time

NODE = Ref("Node", "alpha")


@dataclass
class Played:
    """A recorder at work."""

    port: TimedPort
    recorder: Recorder
    path: Path
    told: list[str]
    why: list[str] = field(default_factory=list)

    def read(self) -> Recording:
        return read_recording(self.path)

    def changes(self) -> list[tuple[float, str, str, object, object]]:
        return [(one.at, one.subject, one.field, one.was, one.to) for _, one in self.read().changes]


@asynccontextmanager
async def recording(
    folder: Path,
    *objects: Object,
    wanted: Wanted | None = None,
    prepare: Callable[[TimedPort], None] = lambda _: None,
) -> AsyncIterator[Played]:
    """It has begun; it is stopped at the end of the block, if it has not ended before."""
    port = TimedPort(folder)
    for one in objects:
        put(port.store, one)
    prepare(port)
    told: list[str] = []
    writer = RecordingWriter(folder / "drill.jsonl")
    recorder = Recorder(port.objects, writer, wanted or Wanted(), told.append)
    played = Played(port, recorder, writer.path, told)

    async def play() -> None:
        played.why.append(await recorder.run("Kubernetes v1.34.4"))

    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(play)
            await anyio.sleep(0.01)
            yield played
            recorder.stop("enough")
    except* (CouldNotRun, UsageError) as errors:
        raise errors.exceptions[0] from None
    finally:
        writer.close()
        port.store.close()


@in_virtual_time
async def test_what_changes_is_written_with_its_time(tmp_path: Path) -> None:
    async with recording(tmp_path, node("alpha"), node("beta"), pod("llm", "llm", "alpha")) as one:
        await anyio.sleep(9.99)
        one.port.store.patch(
            NODE,
            {"spec": {"unschedulable": True}, "metadata": {"annotations": {names.QUARANTINE_EVENTS: "[]"}}},
        )
        await anyio.sleep(2)
        one.port.store.patch(NODE, {"metadata": {"labels": {names.STATE_LABEL: "draining", "team": "x"}}})
        await anyio.sleep(1)
        one.port.store.delete(Ref("Pod", "llm", "drill"), grace_seconds=0)
        await anyio.sleep(1)
    header = one.read().header
    assert (header.serves, header.nodes, header.names) == ("Kubernetes v1.34.4", 2, False)
    assert header.unwatched == {"TerminateNode": "not served"}
    quarantine, state = f"annotation {names.QUARANTINE_EVENTS}", f"label {names.STATE_LABEL}"
    assert one.changes() == [
        (10.0, "Node/node-1", "cordoned", False, True),
        (10.0, "Node/node-1", quarantine, None, ""),
        (12.0, "Node/node-1", state, None, "draining"),
        (13.0, "Pod/pod-1", "exists", True, None),
    ]
    assert one.read().lines[-1][1] == End(at=14.0, end="enough")
    assert one.why == ["enough"]
    assert any("Node/node-1: cordoned: false → true" in line for line in one.told)
    assert "alpha" not in one.path.read_text()


@in_virtual_time
async def test_a_cluster_in_which_nothing_happens_is_not_told(tmp_path: Path) -> None:
    async with recording(tmp_path, node("alpha")) as one:
        for beat in range(5):
            ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": str(beat)}
            one.port.store.set_status(NODE, {"conditions": [ready]})
            one.port.store.patch(NODE, {"metadata": {"annotations": {"others": str(beat)}}})
            await anyio.sleep(10)
    assert one.changes() == []


@in_virtual_time
async def test_what_was_so_at_the_beginning_is_told_as_that(tmp_path: Path) -> None:
    cordoned = node("alpha", unschedulable=True)
    cordoned["metadata"]["labels"] = {names.STATE_LABEL: "draining"}
    async with recording(tmp_path, cordoned, node("beta")) as one:
        pass
    found = [(change.subject, change.field, change.to, change.initial) for _, change in one.read().changes]
    assert found == [
        ("Node/node-1", "cordoned", True, True),
        ("Node/node-1", f"label {names.STATE_LABEL}", "draining", True),
    ]


@pytest.mark.timer("steps/offbus_steps/recordings/recorder.py")
@in_virtual_time
async def test_it_ends_after_its_time(tmp_path: Path) -> None:
    async with recording(tmp_path, node("alpha"), wanted=Wanted(seconds=300)) as one:
        await anyio.sleep(299)
        assert one.why == []
        await anyio.sleep(2)
        assert one.why == ["after 300 s"]
    assert one.read().lines[-1][1] == End(at=300.0, end="after 300 s")


@in_virtual_time
async def test_one_that_is_stopped_before_it_began_leaves_nothing(tmp_path: Path) -> None:
    async with recording(tmp_path, node("alpha"), prepare=lambda port: port.objects.leave()) as one:
        await anyio.sleep(5)
        one.recorder.stop("SIGINT")
        await anyio.sleep(1)
        assert (one.why, one.recorder.writer.begun) == (["SIGINT"], False)
    assert not (tmp_path / "drill.jsonl").exists()


@in_virtual_time
async def test_a_silent_watch_is_a_gap_and_nothing_is_lost(tmp_path: Path) -> None:
    async with recording(tmp_path, node("alpha")) as one:
        one.port.objects.drop_watches(noticed_after_s=75)
        await anyio.sleep(10)
        one.port.store.patch(NODE, {"spec": {"unschedulable": True}})
        await anyio.sleep(80)
    gaps = [line.gap for _, line in one.read().lines if isinstance(line, Gap)]
    assert "Node objects: silent for 75 s" in gaps
    assert [change[2:] for change in one.changes()] == [("cordoned", False, True)]
    assert one.recorder.gaps == len(gaps)


@in_virtual_time
async def test_a_watch_that_is_too_old_is_a_gap(tmp_path: Path) -> None:
    async with recording(tmp_path, node("alpha")) as one:
        one.port.objects.leave()
        for count in range(10):
            one.port.store.patch(NODE, {"metadata": {"labels": {names.STATE_LABEL: f"state-{'x' * count}"}}})
        one.port.store.patch(NODE, {"spec": {"unschedulable": True}})
        await anyio.sleep(20)
        one.port.objects.come_back()
        await anyio.sleep(LONGEST_PAUSE)
    assert "Node objects: the watch was too old" in [
        line.gap for _, line in one.read().lines if isinstance(line, Gap)
    ]
    assert ("cordoned", False, True) in [change[2:] for change in one.changes()]


@pytest.mark.timer("steps/offbus_steps/recordings/recorder.py")
@in_virtual_time
async def test_a_server_that_stays_away_ends_it_with_what_was_seen(tmp_path: Path) -> None:
    async def play() -> None:
        async with recording(tmp_path, node("alpha")) as one:
            one.port.store.patch(NODE, {"spec": {"unschedulable": True}})
            await anyio.sleep(1)
            one.port.objects.leave()
            await anyio.sleep(BLIND_AFTER + 2 * LONGEST_PAUSE)

    with pytest.raises(CouldNotRun, match="cannot be watched any more"):
        await play()
    found = read_recording(tmp_path / "drill.jsonl")
    assert [type(line) for _, line in found.lines] == [Change, End]
    assert BLIND_AFTER < found.ended_at <= BLIND_AFTER + 2 * LONGEST_PAUSE


@in_virtual_time
async def test_what_may_not_be_watched_is_named_and_the_rest_recorded(tmp_path: Path) -> None:
    def refuse(port: TimedPort) -> None:
        port.objects.refusals = {
            f"list {kind}": Forbidden(f"may not list {kind}") for kind in ("Event", "Pod", "Deployment")
        }

    async with recording(tmp_path, node("alpha"), prepare=refuse) as one:
        one.port.store.patch(NODE, {"spec": {"unschedulable": True}})
        await anyio.sleep(1)
    header = one.read().header
    assert {kind for kind, why in header.unwatched.items() if why == "not permitted"} == {"Event", "Pod"}
    assert "Pod" not in header.watched
    assert header.responder == ["unknown: the Deployments cannot be listed"]
    assert len(one.changes()) == 1
    assert "Pod objects are not recorded: not permitted" in one.told


@in_virtual_time
async def test_without_the_nodes_there_is_nothing_to_record(tmp_path: Path) -> None:
    def refuse(port: TimedPort) -> None:
        port.objects.refusals = {"list Node": Forbidden("may not list nodes")}

    with pytest.raises(CouldNotRun, match="the nodes may not be watched: may not list nodes"):
        async with recording(tmp_path, node("alpha"), prepare=refuse):
            await anyio.sleep(1)
    assert not (tmp_path / "drill.jsonl").exists()


@in_virtual_time
async def test_a_node_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no node 'gamma'"):
        async with recording(tmp_path, node("alpha"), wanted=Wanted(frozenset({"alpha", "gamma"}))):
            await anyio.sleep(1)
    assert not (tmp_path / "drill.jsonl").exists()


@in_virtual_time
async def test_only_the_wanted_nodes_are_recorded_by_their_names_if_asked(tmp_path: Path) -> None:
    wanted = Wanted(frozenset({"beta"}), names=True)
    async with recording(tmp_path, node("alpha"), node("beta"), wanted=wanted) as one:
        for name in ("alpha", "beta"):
            one.port.store.patch(Ref("Node", name), {"spec": {"unschedulable": True}})
        await anyio.sleep(1)
    assert [change[1:3] for change in one.changes()] == [("Node/beta", "cordoned")]
    assert (one.read().header.nodes, one.read().header.names) == (1, True)


def nvsentinel(part: str, image: str) -> Object:
    made = deployment(part, 1)
    made["metadata"]["namespace"] = "nvsentinel"
    made["spec"]["template"]["spec"]["containers"] = [{"name": part, "image": image}]
    return made


@in_virtual_time
async def test_the_responder_is_named_with_its_version_and_not_where_its_images_come_from(
    tmp_path: Path,
) -> None:
    async with recording(
        tmp_path,
        node("alpha"),
        nvsentinel("fault-quarantine", "registry.acme.example:5000/mirror/fault-quarantine:v1.8.0"),
        nvsentinel("node-drainer", f"acme/node-drainer@sha256:{'ab' * 32}"),
        nvsentinel("janitor", "registry.acme.example:5000/janitor"),
        deployment("theirs", 1),
    ) as one:
        pass
    assert one.read().header.responder == [
        "fault-quarantine v1.8.0",
        "janitor of unknown version",
        "node-drainer abababababab",
    ]
    assert "acme" not in one.path.read_text()


@in_virtual_time
async def test_it_stops_when_it_is_as_large_as_one_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("offbus_steps.recordings.writer.ROOM", (32 << 20) - 2000)
    async with recording(tmp_path, node("alpha")) as one:
        for count in range(100):
            one.port.store.patch(NODE, {"spec": {"unschedulable": count % 2 == 0}})
            await anyio.sleep(0.1)
        assert one.why == ["the recording is as large as one may be"]
    assert one.path.stat().st_size < 4000


@in_virtual_time
async def test_nothing_is_changed(tmp_path: Path) -> None:
    async with recording(tmp_path, node("alpha"), wanted=Wanted(seconds=5)) as one:
        await anyio.sleep(10)
        changing = [f"{verb} {kind}" for verb in ("create", "patch", "delete", "evict") for kind in KINDS]
    assert one.port.objects.times(*changing) == []
    assert one.port.objects.times("watch Node") != []
