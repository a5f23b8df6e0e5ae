"""Loading a scenario, and saying what is wrong with it, takes work in proportion to its length, whatever that is."""

from pathlib import Path

import pytest

from offbus.findings.render_text import render
from offbus.language.syntax.positions import Positions
from offbus.language.syntax.source import read
from tests.kits.language.drill_types import drill, findings
from tests.kits.proportion import in_proportion

MOST_TRIED = 1000
"""Other values of inputs for which files are looked at."""
STEPS = {
    "in order": "{id: s%d, uses: ask}",
    "a default from an ancestor": "{id: s%d, uses: inject, with: {xid: 79}}",
    "no ancestor for a default": "{id: s%d, uses: inject, needs: [], with: {xid: 79}}",
    "several ancestors for a default": "{id: s%d, uses: deploy}\n{id: i%d, uses: inject, with: {xid: 79}}",
    "an unknown type above": "{id: s%d, uses: dploy}\n{id: i%d, uses: inject, with: {xid: 79}}",
    "an unknown type beside": "{id: s%d, uses: dploy, needs: []}\n{id: i%d, uses: inject, needs: [], with: {xid: 79}}",
    "an expression": '{id: s%d, uses: ask, with: {rate: "${{ 1.0 + 1.0 }}"}, expect: [outputs.success_rate == 1.0]}',
    "a wrong param": "{id: s%d, uses: ask, with: {rate: x}}",
    "an unknown param": "{id: s%d, uses: ask, with: {rite: 1.0}}",
    "the same id": "{id: s, uses: ask}",
    "a need that is not there": "{id: s%d, uses: ask, needs: [nowhere]}",
    "a cleanup of nothing": "{id: s%d, uses: cleanup, with: {steps: [nowhere, nor_there]}}",
    "a file": "{id: s%d, uses: read, with: {file: nowhere.txt}}",
}


@pytest.mark.parametrize("kind", STEPS)
def test_twice_the_steps_take_twice_the_work(tmp_path: Path, kind: str) -> None:
    def scenario(steps: int) -> str:
        one = STEPS[kind]
        return drill("{id: d, uses: deploy}\n" + "\n".join(one.replace("%d", str(n)) for n in range(steps)))

    assert in_proportion(lambda steps: findings(tmp_path, scenario(steps)))


TEXTS = {
    "plain": ("", "${{ 1 }} ", ""),
    "single-quoted": ("'", "${{ ''a'' }}", "'"),
    "double-quoted": ('"', "${{ \\x31 }}", '"'),
    "double-quoted, over lines": ('"', "\n  ${{ \\x31 }}", '"'),
    "a block": ("|\n", "  ${{ 1 }}\n", ""),
    "a folded block": (">\n", "  ${{ 1 }}\n", ""),
    "wrong ones": ("'", "${{ ''a'' + 1 }}", "'"),
}


def text(kind: str, pieces: int) -> str:
    begin, one, end = TEXTS[kind]
    return f"{begin}{one * pieces}{end}"


@pytest.mark.parametrize("kind", TEXTS)
def test_twice_the_expressions_in_a_text_take_twice_the_work(tmp_path: Path, kind: str) -> None:
    def scenario(pieces: int) -> str:
        value = text(kind, pieces).replace("\n", "\n      ")
        return drill("{id: d, uses: deploy}") + f"  - id: a\n    uses: ask\n    with:\n      node: {value}\n"

    assert in_proportion(lambda pieces: findings(tmp_path, scenario(pieces)))


@pytest.mark.parametrize("kind", TEXTS)
def test_twice_the_positions_in_a_text_take_twice_the_work(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "text.yaml"
    sources: dict[int, Positions] = {}

    def find(pieces: int) -> None:
        positions = sources[pieces]
        assert positions.source.root is not None
        node = positions.source.root.children["text"]
        for start in range(pieces):
            positions.within(node, start * 9)

    for pieces in (1, 2, 400, 799):
        path.write_text(f"text: {text(kind, pieces)}\n", encoding="utf-8")
        sources[pieces] = Positions(read(path), [])
    assert in_proportion(find, 400)


def test_twice_the_findings_in_one_line_take_twice_the_work_to_show(tmp_path: Path) -> None:
    def show(keys: int) -> str:
        unknown = ", ".join(f"{'k' * 200}{number}: 1" for number in range(keys))
        return render(findings(tmp_path, drill(f"{{id: a, uses: ask, with: {{{unknown}}}}}")))

    assert in_proportion(show)


def test_twice_the_choices_in_twice_the_steps_take_twice_the_work(tmp_path: Path) -> None:
    """Each step's file is looked at for each other value of the input: but for so many in all."""

    def load(number: int) -> object:
        choices = ", ".join(f"a{one}" for one in range(number))
        header = f"inputs: {{a: {{type: string, default: a0, enum: [{choices}]}}}}\n"
        step = '{{id: s{0}, uses: read, with: {{file: "${{{{ inputs.a }}}}{0}.txt"}}}}'
        return findings(tmp_path, drill("\n".join(step.format(one) for one in range(number)), header))

    assert in_proportion(load)


def test_what_is_not_looked_at_is_told(tmp_path: Path) -> None:
    choices = ", ".join(f"a{one}" for one in range(MOST_TRIED + 2))
    header = f"inputs: {{a: {{type: string, default: a0, enum: [{choices}]}}}}\n"
    step = '{id: s, uses: read, with: {file: "${{ inputs.a }}.txt"}}'
    *warned, last = findings(tmp_path, drill(step, header))
    assert len(warned) == MOST_TRIED + 1
    assert f"more than {MOST_TRIED} other values" in last.message
