"""A recording names the responder that is deployed in the responder's own namespace, and nobody else's Deployments."""

from pathlib import Path

from offbus_steps.port import Object
from offbus_steps.recordings.format import read_recording
from offbus_steps.recordings.recorder import Recorder, Wanted
from offbus_steps.recordings.writer import RecordingWriter
from tests.kits.steps.timed_port import TimedPort, deployment, node, put
from tests.kits.virtual_time import in_virtual_time

REAL = "fault-quarantine"


def part(namespace: str, tag: str, name: str = "any") -> Object:
    """A Deployment with the part in a version."""
    made = deployment(name, 1)
    made["metadata"]["namespace"] = namespace
    container = {"name": REAL, "image": f"ghcr.io/nvidia/{REAL}:{tag}"}
    made["spec"]["template"]["spec"]["containers"] = [container]
    return made


async def named(folder: Path, *objects: Object, wanted: Wanted | None = None) -> list[str]:
    """What the recording's first line says."""
    port = TimedPort(folder)
    for one in (node("alpha"), *objects):
        put(port.store, one)
    writer = RecordingWriter(folder / "drill.jsonl")
    await Recorder(port.objects, writer, wanted or Wanted(seconds=1), lambda _line: None).run("Kubernetes")
    writer.close()
    port.store.close()
    return read_recording(writer.path).header.responder


@in_virtual_time
async def test_what_is_deployed_elsewhere_is_no_responder(tmp_path: Path) -> None:
    """Whoever may deploy something names its containers: neither can it be told, nor crowd out what is there."""
    crowd = [part("team-x", f"v0.{n}", f"a{n}") for n in range(100)]
    assert await named(tmp_path, part("nvsentinel", "v1.8.0"), *crowd) == [f"{REAL} v1.8.0"]


@in_virtual_time
async def test_elsewhere_alone_there_is_none(tmp_path: Path) -> None:
    assert await named(tmp_path, part("team-x", "v9.9.9")) == []


@in_virtual_time
async def test_its_namespace_may_be_another_one(tmp_path: Path) -> None:
    wanted = Wanted(seconds=1, responder_namespace="gpu-health")
    there = part("gpu-health", "v1.8.0"), part("nvsentinel", "v9.9.9")
    assert await named(tmp_path, *there, wanted=wanted) == [f"{REAL} v1.8.0"]
