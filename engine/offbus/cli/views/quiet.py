"""The quiet view: nothing until the end, then the closing lines."""

from offbus.cli.views.base import BoardView
from offbus.journal.events import Event

__all__ = ["QuietView"]


class QuietView(BoardView):
    """Prints only the closing lines."""

    def take(self, event: Event) -> None:
        """Nothing is shown, so nothing is kept."""
