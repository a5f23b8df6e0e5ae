"""Fits the live screen's sections into the terminal: every line to its width, all lines to its height."""

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size

from offbus.cli.views.sections import Section
from offbus.cli.views.theme import Glyphs
from offbus.report.spans import Line, Span, Tone, line

__all__ = ["fit", "lay_out"]

TITLES, WIDEST_TITLES = 8, 16
"""Columns of the titles at the left: as many as the longest of them needs."""


def lay_out(head: Line, sections: Sequence[Section], width: int, height: int, glyphs: Glyphs) -> list[Line]:
    """Lines of at most `width` columns, at most `height` of them."""
    body = max(1, height - 2)
    titles = min(WIDEST_TITLES, max([TITLES, *(len(one.title) + 1 for one in sections)]))
    shares = _shares(sections, body)
    airy = sum(shares) + len(sections) - 1 <= body and shares == [len(one.rows) for one in sections]
    lines = [head, line((glyphs.rule * width, Tone.DIM))]
    for number, (section, share) in enumerate(zip(sections, shares, strict=True)):
        if airy and number:
            lines.append(line(""))
        for row, one in enumerate(_window(section, share, glyphs)):
            title = "" if row else section.title[: titles - 1]
            lines.append([Span(f"{title:<{titles}}", Tone.DIM), *one])
    return [fit(one, width, glyphs) for one in lines[: max(1, height)]]


def _shares(sections: Sequence[Section], body: int) -> list[int]:
    """Rows for each section: all get their least, then all get one more in turn until nothing is left."""
    shares = [min(one.least, len(one.rows)) for one in sections]
    rest = body - sum(shares)
    while rest > 0:
        hungry = [i for i, one in enumerate(sections) if shares[i] < len(one.rows)]
        if not hungry:
            break
        for i in hungry[:rest]:
            shares[i] += 1
        rest -= len(hungry[:rest])
    return shares


def _window(section: Section, share: int, glyphs: Glyphs) -> list[Line]:
    """The rows around the focus; hidden rows are counted in the first and last row."""
    rows = section.rows
    if len(rows) <= share:
        return list(rows)
    start = max(0, min(section.focus - share // 2, len(rows) - share))
    shown = list(rows[start : start + share])
    after = len(rows) - start - share
    if after and share > 1 and section.focus < start + share - 1:
        shown[-1] = _hidden(after + 1, "more", glyphs)
    if start and share > 2 and section.focus > start:
        shown[0] = _hidden(start + 1, "above", glyphs)
    return shown


def _hidden(count: int, word: str, glyphs: Glyphs) -> Line:
    return line((f"{glyphs.more} {count} {word}", Tone.DIM))


def fit(one: Line, width: int, glyphs: Glyphs) -> Line:
    """The line, cut to `width` columns; wide characters take two."""
    if sum(cell_len(span.text) for span in one) <= width:
        return one
    room = max(0, width - cell_len(glyphs.more))
    shown: list[Span] = []
    for span in one:
        size = cell_len(span.text)
        shown.append(span if size <= room else Span(set_cell_size(span.text, room), span.tone))
        room -= min(size, room)
        if room == 0:
            break
    return [*shown, Span(glyphs.more if width >= cell_len(glyphs.more) else "", Tone.DIM)]
