"""The kernel log behind the kernel-log helper: for an agent that may not open `/dev/kmsg` itself.

Job: send a line as its fields, and say of the answer what `KernelLog` says: read back with its number, not shown, or
not written and why. The text is the helper's own; what is refused there is refused here before, so that a caller gets
the same error from every log. Budget and stop files are the helper's: it tells when the next line may be written.
"""

from offbus_agent.kernel_log.line import Dialect, KernelLine, ResetLine
from offbus_agent.kernel_log.log import KernelLog, KernelLogError, KernelRecord, NotShown
from offbus_agent.kmsg_helper import (
    ANSWERED_WITHIN_S,
    AskReset,
    AskXid,
    HelperUnreachable,
    Kind,
    KmsgHelper,
    Reply,
    Status,
)

__all__ = ["HelperLog"]

_DIALECTS = list(Dialect)
_WAITS = (Status.STOPPED, Status.TOO_MANY_LINES, Status.TOO_MANY_GPUS)
_NOT_SHOWN = {
    Status.NOT_RETURNED: "the log accepted the line and does not return it: it is not a kernel log",
    Status.LOST: "the line was written and is not in the log",
    Status.NOT_SEEN: "timed out waiting for the line that was written",
}
_FAILED = {
    Status.STRANGER: ("it serves another user", "start it with --uid set to the agent's"),
    Status.NO_LOG: ("its log is no kernel log", "set its --log to /dev/kmsg"),
    Status.LOCKED: ("another writer holds its log", "find the writer with `lslocks`"),
    Status.MALFORMED: ("it speaks another version", "restart the agent's pod with one image"),
    Status.UNKNOWN_XID: ("it knows another catalogue", "restart the agent's pod with one image"),
    Status.UNSAFE: ("it would not be exactly one line", ""),
}


class HelperLog(KernelLog):
    """`KernelLog` over the helper; its `path` is the helper's socket."""

    def __init__(self, helper: KmsgHelper) -> None:
        """See `open`."""
        self.path = helper.path
        self.is_device = False
        """Whether the helper's log is the machine's own; a node that is a folder has a record file."""
        self._helper = helper

    @classmethod
    def open(cls, helper: KmsgHelper) -> "HelperLog":
        """The log of a helper that is there and serves us. Raises KernelLogError."""
        log = cls(helper)
        log.is_device = bool(log.check_helper().at_ns)
        return log

    def check_helper(self, within_s: float = ANSWERED_WITHIN_S) -> Reply:
        """Raises KernelLogError when the helper is away, does not answer in time, or does not serve us.

        One that may write nothing now (`_WAITS`) is there: it says what it sees, and the agent has faults to end.
        """
        reply = self._ask(Kind.STATUS, None, within_s)
        if reply.status not in _WAITS:
            _refuse(reply)
        return reply

    def check(self) -> None:
        """Raises KernelLogError when no line can be written now."""
        _refuse(self._ask(Kind.STATUS, None))

    def record(self, line: KernelLine) -> KernelRecord:
        """See `KernelLog.record`."""
        line.text(at_ns=0)
        reply = self._ask(*_question(line))
        _refuse(reply)
        return KernelRecord(reply.seq, reply.at_ns, _line(reply))

    def _ask(
        self, kind: Kind, question: AskXid | AskReset | None, within_s: float = ANSWERED_WITHIN_S
    ) -> Reply:
        try:
            return self._helper.ask(kind, question, within_s=within_s)
        except HelperUnreachable as err:
            raise KernelLogError(str(err), "look at the log of the agent's container `kmsg-helper`") from err


def _question(line: KernelLine) -> tuple[Kind, AskXid | AskReset]:
    if isinstance(line, ResetLine):
        return Kind.RESET, AskReset(gpu=line.gpu.encode())
    return Kind.XID, AskXid(
        xid=line.xid,
        gpu=line.gpu,
        dialect=_DIALECTS.index(line.dialect),
        before_r575=line.before_r575,
        fault=line.fault.encode(),
        pci=line.pci.encode(),
    )


def _refuse(reply: Reply) -> None:
    """Raises KernelLogError for whatever is not done."""
    status = reply.status
    if status is Status.DONE:
        return
    if why := _NOT_SHOWN.get(status):
        text = _line(reply)
        hint = f"{reply.why}; check kernel.printk_devkmsg".lstrip("; ")
        raise NotShown(f"kernel-log helper: {why}", hint, text=text, lost=status is not Status.NOT_SEEN)
    raise KernelLogError(*_failure(reply))


def _line(reply: Reply) -> str:
    """A line that the helper wrote. Raises KernelLogError for one that it cannot have written."""
    try:
        return reply.text.decode("ascii")
    except UnicodeDecodeError as err:
        why = f"kernel-log helper: it answered with a line that is not ASCII: {reply.text[:80]!r}"
        raise KernelLogError(why, "restart the agent's pod with one image") from err


def _failure(reply: Reply) -> tuple[str, str]:
    match reply.status:
        case Status.STOPPED:
            file = reply.text.decode(errors="replace")
            return f"kernel lines are stopped on this node: {file} is there", "remove it to allow them again"
        case Status.TOO_MANY_LINES:
            return "the node's budget of kernel lines is used up", f"the next one in {reply.number} s"
        case Status.TOO_MANY_GPUS:
            return "the node's budget of faulted GPUs is used up", f"the next one in {reply.number} s"
        case Status.NOT_OPENED:
            return f"kernel-log helper: cannot open its log: {reply.why}", "run it privileged, with /dev/kmsg"
        case Status.NOT_WRITTEN:
            why = reply.why or f"only {reply.number} bytes were accepted"
            return f"kernel-log helper: cannot write to its log: {why}", ""
        case _:
            why, hint = _FAILED.get(reply.status, (reply.why or reply.status.name.lower(), ""))
            return f"kernel-log helper: {why}", hint
