"""What is fuzzed: for each reader a function that takes any bytes and holds the reader to its promise.

A promise: only the declared error, and a law where there is one (what was read is written and read again; how bytes
were cut into chunks does not matter; what a name holds is no field). Memory and time are bounded by the fuzzer. A
target raises AssertionError, or whatever the reader lets through. No fuzzer is needed to call one: tests/fuzz does.
"""

import base64
import gzip
import json
import os
import re
import tempfile
import zlib
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import cache, partial
from io import BytesIO
from pathlib import Path
from typing import Any

from offbus.errors import CouldNotRun, StepError, UsageError
from offbus.journal.codec import NewerFormat, decode, encode
from offbus.journal.reader import read_journal
from offbus.printable import printable
from offbus.report.fold import fold
from offbus_agent.faults import proc_files, processes
from offbus_agent.faults.hidden import OwnLooks
from offbus_agent.kernel_log.log_forms import read_line
from offbus_agent.kernel_log.recognise import recognise
from offbus_steps.commands.recognise_log import lines_of as lines_in
from offbus_steps.inference_client.requests import Question, ask, model_of
from offbus_steps.kubernetes.ownership.run_records import events_in
from offbus_steps.nvsentinel.course import OBSERVED
from offbus_steps.port import PortError, Ref, StreamingReply, Traffic
from offbus_steps.recordings.compare import compare
from offbus_steps.recordings.format import encoded, read_recording
from offbus_steps.recordings.render import as_json, as_lines
from offbus_steps.text_lines import LineTooLong, lines_of
from offbus_steps.workloads.manifest import read_manifest, target_in
from tests.kits.fuzz.agent_http import answers

__all__ = ["TARGETS"]

CUT = b"\n--\n"
"""Between the parts of an input that has several."""


def proc(data: bytes) -> None:
    """A process's files in /proc: whatever they hold, nothing is raised, and a name or a path is no field."""
    real, proc_files.PROC = proc_files.PROC, _proc_root()
    try:
        _read_proc(data)
    finally:
        proc_files.PROC = real  # the tests of the same process need it


def _read_proc(data: bytes) -> None:
    root, page = _proc_root(), _folder() / "page"
    parts = [*data.split(CUT, 3), b"", b"", b"", b""]
    for file, content in zip(("status", "maps", "cgroup", "environ"), parts, strict=False):
        (root / "7" / file).write_bytes(content)
    pod = "11111111-2222-3333-4444-555555555555"
    looks = OwnLooks(page)
    processes.census(looks, _folder(), {pod})
    processes.preloaded(looks, _folder())
    processes.pod_uid(7, _folder())
    name = data.replace(b"\n", b"\\n")  # as the kernel writes one (proc(5))
    (root / "7/cgroup").write_bytes(b"0::/kubepods/pod%s/x\n" % pod.encode())
    (root / "7/status").write_bytes(b"Name:\t%s\nNSpid:\t7\t3\n" % name)
    (root / "7/maps").write_bytes(b"7f00-7f01 r--p 00000000 00:00 0      %s\n" % name)
    wanted = (_namespace(), 3)
    find = partial(processes.find_processes, [wanted], looks, _folder(), {pod})
    assert find().found == {}, "the page is not mapped"
    device, inode = page.stat().st_dev, page.stat().st_ino
    mapping = b"7f00-7f01 r--s 00000000 %02x:%02x %d   /page\n" % (os.major(device), os.minor(device), inode)
    (root / "7/maps").write_bytes(mapping)
    assert find().found == {wanted: processes.Known(7, pod)}, "its name hides its pid"


def journal(data: bytes) -> None:
    """A journal, as it is and with every line's checksum made right: read, folded, and the same when written again."""
    sealed = b"\n".join(map(_sealed, data.split(b"\n")))
    for raw in (data, sealed):
        path = _folder() / "journal.jsonl"
        path.write_bytes(raw)
        try:
            found = read_journal(path)
        except NewerFormat:
            assert path.read_bytes() == raw, "nothing of a newer offbus is touched"
            continue
        assert found.good_bytes + found.torn_bytes == len(raw)
        numbers = [event["seq"] for event in found.events]
        assert numbers == sorted(set(numbers)), "in order, each once"
        if found.events:
            fold(found.events).model_dump_json()
        path.write_bytes(b"".join(map(encode, found.events)))
        assert read_journal(path).events == found.events


def records(data: bytes) -> None:
    """The records of a run in a cluster: texts, and a packed one, as they are and rightly packed."""
    text, _, packed = data.partition(CUT)
    for one in (packed, gzip.compress(packed, 1, mtime=0)):
        content = {
            "metadata": {"name": "offbus-run-r", "namespace": "offbus-system"},
            "data": {"head": text.decode("utf-8", "replace")},
            "binaryData": {"fingerprint": base64.b64encode(one).decode()},
        }
        try:
            events = events_in(content)
        except CouldNotRun:
            continue
        assert [decode(encode(event)) for event in events] == events


def sse(data: bytes) -> None:
    """A target's answer, streamed and whole: one that is broken is not good, and chunks do not matter."""
    size = data[0] + 1 if data else 1
    chunks = [data[at : at + size] for at in range(0, len(data), size)]
    lines = _done(_all(lines_of(_stream([data]))))
    assert _done(_all(lines_of(_stream(chunks)))) == lines
    assert b"\n".join(line.encode() for line in lines).count(b"\n") == max(0, len(lines) - 1)
    to = Ref("Service", "web", "drill")
    for streamed in (True, False):
        asked = _done(ask(_Answering(chunks), to, 8000, Question("m", "p", 1, streamed), 1))
        assert asked.outcome.good == (not asked.why)
    with suppress(PortError):
        _done(model_of(_Answering(chunks), to, 8000, 1))


def manifest(data: bytes) -> None:
    """A manifest: refused as a StepError, or objects that are JSON, with names that are names."""
    path = _folder() / "target.yaml"
    path.write_bytes(data)
    try:
        objects = read_manifest(path)
    except StepError:
        return
    assert json.loads(json.dumps(objects, allow_nan=False)) == objects
    assert all(re.fullmatch(r"[a-z0-9.-]+", Ref.of(one).name) for one in objects)
    try:
        target_in(objects, None)
    except StepError:
        return


def http_head(data: bytes) -> None:
    """What a client sends to the node agent: no bug, no write without the token, and the next client is served."""
    for method, status in answers(data):
        assert status != 500, "a bug"
        assert method in ("GET", "HEAD") or status >= 400, "written without a token"
    assert answers(b"GET /openapi.json HTTP/1.1\r\nhost: agent\r\n\r\n") == [("GET", 200)]


def recording(data: bytes) -> None:
    """A recording of a responder: refused as a UsageError, or compared, and the same when written again."""
    path = _folder() / "recording.jsonl"
    path.write_bytes(data)
    try:
        found = read_recording(path)
    except UsageError:
        return
    for fault_at in (None, 0.0):
        compared = compare(found, OBSERVED, fault_at)
        assert all(printable(line).isprintable() for line in as_lines(found, OBSERVED, compared))
        json.dumps(as_json(found, OBSERVED, compared), allow_nan=False)
    path.write_bytes(b"".join(map(encoded, (found.header, *(line for _, line in found.lines)))))
    again = read_recording(path)
    assert (again.header, again.torn) == (found.header, False)
    assert [line for _, line in again.lines] == [line for _, line in found.lines]


def kernel_log(data: bytes) -> None:
    """A kernel log in any form: nothing is raised, and what a process wrote is never the driver's."""
    for text, _ in lines_in(BytesIO(data)):
        line = read_line(text)
        found = recognise(line) if line is not None else None
        assert found is None or found.kind or found.fault
        printable(found.text if found is not None else text)
    for opening in (b"12,1,2,-;", b"12,1,2,-;offbus=a1 ;"):
        record = read_line((opening + data[:900].replace(b"\n", b"")).decode("utf-8", "replace"))
        found = recognise(record) if record is not None else None
        assert found is None or found.verdict in ("drill", "injected"), (
            "a process has no record of the kernel's"
        )


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    one.__name__: one for one in (proc, journal, records, sse, manifest, http_head, recording, kernel_log)
}
"""Name -> target; each has its kept inputs in corpora/NAME."""


@cache
def _folder() -> Path:
    """For the files of an input."""
    _KEPT.append(made := tempfile.TemporaryDirectory(prefix="offbus-fuzz-"))
    (Path(made.name) / "page").write_bytes(bytes(4096))
    (Path(made.name) / "gpus.json").touch()  # as a node that is a folder has one
    return Path(made.name)


_KEPT: list["tempfile.TemporaryDirectory[str]"] = []
"""Removed when the program ends; a fuzzer's program is killed by its engine, and run.py removes what it leaves."""


@cache
def _proc_root() -> Path:
    """A /proc of one process, 7, in a pid namespace of its own, and of this one."""
    root = _folder() / "proc"
    for pid in ("7", str(os.getpid())):
        (root / pid / "ns").mkdir(parents=True)
    (root / "7/ns/pid").touch()
    (root / str(os.getpid()) / "ns/pid").touch()
    return root


def _namespace() -> int:
    return (_proc_root() / "7/ns/pid").stat().st_ino


_SEAL = re.compile(rb',"crc":"[^"]*"\}$')


def _sealed(line: bytes) -> bytes:
    """A journal's line with the checksum that fits it: what a fuzzer cannot guess."""
    body = _SEAL.sub(b"", line)
    return b'%s,"crc":"%08x"}' % (body, zlib.crc32(body)) if body != line else line


class _Answering(Traffic):
    """To a target that answers everything with these chunks."""

    def __init__(self, chunks: list[bytes]) -> None:
        self._chunks = chunks

    @asynccontextmanager
    async def exchange(self, *_args: Any, **_more: Any) -> AsyncIterator[StreamingReply]:
        yield _Reply(self._chunks)

    def stream(self, *_args: Any, **_more: Any) -> AbstractAsyncContextManager[StreamingReply]:
        """Without its bound, which needs an event loop."""
        return self.exchange()


class _Reply:
    status = 200
    headers: Mapping[str, str] = {}

    def __init__(self, chunks: list[bytes]) -> None:
        self._chunks = chunks

    async def lines(self) -> AsyncIterator[str]:
        try:
            async for line in lines_of(_stream(self._chunks)):
                yield line
        except LineTooLong as err:
            raise PortError(str(err)) from err

    async def read(self) -> bytes:
        return b"".join(self._chunks)


async def _stream(chunks: list[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def _all(lines: AsyncIterator[str]) -> list[str]:
    return [line async for line in lines]


def _done(work: Coroutine[Any, Any, Any]) -> Any:
    """What comes of a coroutine that waits for nothing: without an event loop, ten times as many inputs a second."""
    try:
        work.send(None)
    except StopIteration as ended:
        return ended.value
    raise AssertionError("it waits for something")
