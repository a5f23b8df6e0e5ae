"""The one way in which text that somebody else wrote gets onto a terminal, into a CI log, or beside our own words.

Journals, reports, lock files, records of a cluster, names of files, and what environments and faults say come from
outside. Printed as they are, an escape sequence drives the terminal, a bidirectional control reverses what is read, and
a line end begins a line of its own: `::error::` there is a command of GitHub's runner, and so is `##[error]` anywhere
in a line (actions/runner, src/Runner.Common/ActionCommand.cs), `##vso[…]` of Azure Pipelines' agent ("Logging commands"
in its documentation) and `##teamcity[…]` ("Service messages"). So such characters are spelt out, and such a command is
broken; nothing is dropped, and what is printable already is returned as it is. Pure.

- `printable(text)` is one line, its spaces kept: for a whole line before it is printed.
- `clean(text)` is one line, its white space joined: for a part of a line.
- `printable_json(text)` is JSON that means the same: for JSON before it is printed.
"""

import re

__all__ = ["MARKED_COMMAND", "clean", "printable", "printable_json"]

HOSTILE = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn"))
"""Unicode categories of characters that can change what a terminal shows, line ends among them."""
COMMAND = "::"
"""How a line that is a command of GitHub's runner begins, white space aside."""
MARKED_COMMAND = re.compile(r"##(?=[\w.-]{0,64}\[)")
"""How a command of a CI system begins that it obeys anywhere in a line; a heading in Markdown has a space there."""


def printable(text: str) -> str:
    """The text as one line that is safe to print; control and direction characters are spelt `\\x1b`."""
    if not text.isprintable():
        text = "".join(f"\\x{ord(one):02x}" if _is_hostile(one) else one for one in text)
    text = MARKED_COMMAND.sub(r"#\\x23", text)
    if text.lstrip().startswith(COMMAND):
        text = text.replace(":", "\\x3a", 1)
    return text


def clean(text: object) -> str:
    """The same for anything, and its line ends become spaces."""
    return printable(" ".join(str(text).split()))


def printable_json(text: str) -> str:
    """JSON whose strings have their hostile characters escaped, as JSON allows; line ends between values are kept."""
    text = MARKED_COMMAND.sub(r"#\\u0023", text)
    if text.replace("\n", "").isprintable():
        return text
    return "".join(_escaped(one) if one != "\n" and _is_hostile(one) else one for one in text)


def _is_hostile(character: str) -> bool:
    from unicodedata import category  # 1 MB of tables that hardly any command needs

    return category(character) in HOSTILE


def _escaped(character: str) -> str:
    """As UTF-16 code units (RFC 8259, section 7)."""
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{int.from_bytes(units[at : at + 2]):04x}" for at in range(0, len(units), 2))
