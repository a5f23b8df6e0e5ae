"""A stream on which several runs print beside one another: each line says whose it is."""

from offbus.cli.views.screen import Stream

__all__ = ["Prefixed"]


class Prefixed:
    """Writes whole lines, each after a prefix, and each text in one call: two runs never mix within a line."""

    def __init__(self, prefix: str, stream: Stream) -> None:
        self.encoding: str = getattr(stream, "encoding", None) or "utf-8"
        self._prefix = prefix
        self._stream = stream

    def write(self, text: str, /) -> int:
        """Write lines."""
        return self._stream.write("".join(self._prefix + line for line in text.splitlines(keepends=True)))

    def flush(self) -> None:
        """Of the stream behind it."""
        self._stream.flush()

    def isatty(self) -> bool:
        """No live view fits beside another."""
        return False

    def fileno(self) -> int:
        """Of the stream behind it."""
        return self._stream.fileno()
