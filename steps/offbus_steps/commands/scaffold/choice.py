"""A choice on the command line, or in a question, whose refusal says which one was probably meant."""

from typing import Any

import click

__all__ = ["NamedChoice"]


class NamedChoice(click.Choice[str]):
    """As click's, with a suggestion."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """What is allowed, and what is near."""
        from offbus.findings.suggest import closest

        near = closest(str(value), self.choices)
        return super().get_invalid_choice_message(value, ctx) + (f" Did you mean {near!r}?" if near else "")
