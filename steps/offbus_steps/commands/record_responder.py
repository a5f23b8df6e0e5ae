"""What `offbus observe --env` does: look at an environment without a run, and record its responder into a file.

The file is made first, so that a bad name costs nothing, and removed again when nothing could be recorded. The first
SIGINT, SIGTERM or SIGHUP ends the recording as its time does: with its last line, and a summary.
"""

import signal
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from offbus.abilities import ability
from offbus.cli.output import say
from offbus.errors import UsageError, ungrouped
from offbus.exits import Exit
from offbus.language.check.cli_environment import named_options
from offbus.plugins import installed
from offbus.runner.signals import STOPPING
from offbus_steps.commands.compare_recording import seconds_of
from offbus_steps.nvsentinel.names import USUAL_NAMESPACE
from offbus_steps.object_names import NAMESPACE
from offbus_steps.port import Observable
from offbus_steps.recordings.recorder import Recorder, Wanted
from offbus_steps.recordings.writer import RecordingWriter

__all__ = ["record_responder"]

_NAMES = "use up to 63 lower-case letters, digits and '-'"


def record_responder(
    env: str,
    env_sets: Mapping[str, str],
    out: Path,
    *,
    nodes: Sequence[str],
    names: bool,
    duration: str | None,
    responder_namespace: str | None,
) -> Exit:
    """Record until it is ended; the exit code. Raises UsageError, CouldNotRun."""
    seconds = None if duration is None else seconds_of("--for", duration)
    where = responder_namespace or USUAL_NAMESPACE
    if NAMESPACE.fullmatch(where) is None:
        raise UsageError(f"--responder-namespace: {where!r} is not a namespace's name", hint=_NAMES)
    kind, options = named_options(env, env_sets, installed())
    opener = ability(kind.opener, Observable)
    if opener is None:
        raise UsageError(f"the environment {env} cannot be observed", hint="`local` and `kubernetes` can")
    with ExitStack() as held:
        writer = RecordingWriter(out)
        held.callback(writer.close)
        wanted = Wanted(frozenset(nodes), names=names, seconds=seconds, responder_namespace=where)
        return anyio.run(partial(_record, opener, options, writer, wanted))


async def _record(opener: Observable, options: Any, writer: RecordingWriter, wanted: Wanted) -> Exit:
    with ungrouped():
        async with opener.observed(options) as observed, anyio.create_task_group() as tasks:
            recorder = Recorder(observed.port.objects, writer, wanted, lambda line: say(line, err=True))
            tasks.start_soon(_stop_on_signals, recorder)
            why = await recorder.run(observed.serves)
            tasks.cancel_scope.cancel()
    if not writer.begun:
        say(f"stopped ({why}) before anything was recorded", err=True)
        return Exit.INTERRUPTED
    missed = f"; {recorder.gaps} gaps, in which something may have been missed" if recorder.gaps else ""
    say(
        f"recorded {recorder.changes} changes in {recorder.seconds:.1f} s into {writer.path} (ended: {why}){missed}"
    )
    return Exit.PASSED


async def _stop_on_signals(recorder: Recorder) -> None:
    heeded = [number for number in STOPPING if signal.getsignal(number) is not signal.SIG_IGN]  # nohup
    with anyio.open_signal_receiver(*heeded) as received:
        async for number in received:
            recorder.stop(signal.Signals(number).name)
