# ruff: noqa: E501  (tables: one case a line)
"""The certain fixes of a scenario: what is fixed and what is left, and that nothing else of the file changes."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from offbus.findings.edits import edited, separate
from offbus.findings.invalid_scenario import InvalidScenario
from offbus.findings.model import Edit, Finding, Position, Severity
from offbus.findings.suggest import certain
from offbus.language.fix import Fixed, fixed
from offbus.language.load import load_cells
from tests.kits.language.drill_types import drill, registry

MARKED = re.compile("⟦(.*?)→(.*?)⟧", re.DOTALL)
N = "inputs: {n: {type: integer, default: 1}}\n"
DEPLOY = "{id: a, uses: deploy}\n"

CERTAIN = {
    "a key": "offbus: 1\nname: x\n⟦sumary→summary⟧: y # why\nsteps:\n  - {id: a, uses: deploy}\n",
    "a key in quotes": "offbus: 1\nname: x\n⟦\"sumary\"→\"summary\"⟧: y\nsteps:\n  - {id: a, uses: deploy}\n",
    "a key in another style": drill("{id: a, uses: deploy, ⟦keep-going→keep_going⟧: true}"),
    "a key of a step": drill("{id: a, uses: deploy, ⟦timout→timeout⟧: 1m}"),
    "a param": drill("{id: a, uses: ask, with: {⟦rat→rate⟧: 1.0}}"),
    "a key in a param": drill("{id: a, uses: deploy, with: {existing: {⟦knid→kind⟧: D, name: x}}}"),
    "an option": drill(DEPLOY, "environment: {uses: local, ⟦nods→nodes⟧: 3}\n"),
    "a guard": drill(DEPLOY, "guards: {⟦max_cordoned_node→max_cordoned_nodes⟧: 1}\n"),
    "a step type": drill("{id: a, uses: ⟦deplay→deploy⟧}"),
    "a step type in quotes": drill("{id: a, uses: ⟦'deplay'→'deploy'⟧} # it's this"),
    "a step type with what it lacks": drill("{id: a, uses: ⟦hodl→hold⟧, with: {for: 1s, expr: node.cordoned}}"),
    "an environment": drill(DEPLOY, "environment: {uses: ⟦locla→local⟧}\n"),
    "one of a few": drill(DEPLOY + "{id: b, uses: inject, with: {xid: 1, planes: [kernel, ⟦kuda→cuda⟧]}}"),
    "an expression in braces": drill('{id: a, uses: ask, with: {node: ⟦n-${{ inputs.n }}→"n-${{ inputs.n }}"⟧, rate: 2.0}}', N),
    "an expression with quotes in braces": drill("""{id: a, uses: ask, with: {node: ⟦${{ "x" }}→'${{ "x" }}'⟧}}"""),
    "two of them in a line": drill('{id: a, uses: ask, with: {env: {A: ⟦x${{ inputs.n }}→"x${{ inputs.n }}"⟧, B: ⟦y${{ inputs.n }}→"y${{ inputs.n }}"⟧}}}', N),
    "braces of a condition": drill("{id: a, uses: deploy, when: ⟦\"${{ inputs.n > 0 }}\"→\"inputs.n > 0\"⟧}", N),
    "an integer beside a double": drill("{id: a, uses: ask, expect: [outputs.success_rate == ⟦1→1.0⟧]}"),
    "a number in quotes": drill("{id: a, uses: ask, with: {rate: ⟦'50'→50⟧}}"),
    "a boolean in quotes": drill('{id: a, uses: deploy, always: ⟦"true"→true⟧}'),
    "a number that is a text": drill("{id: a, uses: ask, with: {env: {A: ⟦0x1F→\"0x1F\"⟧}}}"),
    "a boolean that is a text": drill("{id: a, uses: ask, with: {env: {A: ⟦true→\"true\"⟧}}}"),
    "a number as a key": drill("{id: a, uses: ask, with: {env: {⟦1→\"1\"⟧: x}}}"),
    "one item": drill(DEPLOY + "{id: b, uses: deploy, needs: ⟦a→[a]⟧}"),
    "one item in quotes": drill(DEPLOY + "{id: b, uses: deploy, needs: ⟦'a'→['a']⟧}"),
    "a whole number as a fraction": drill(DEPLOY + "{id: b, uses: inject, with: {xid: ⟦79.0→79⟧}}"),
    "a duration in words": drill("{id: a, uses: deploy, timeout: ⟦10 minutes→10m⟧}"),
    "a duration in words in quotes": drill("{id: a, uses: deploy, timeout: ⟦\"90 sec\"→\"90s\"⟧}"),
    "a duration out of order": drill(DEPLOY + "{id: b, uses: inject, with: {xid: 1, ttl: ⟦1s2h→2h1s⟧}}"),
    "a plain timedelta in words": drill(DEPLOY + "{id: b, uses: inject, with: {xid: 1, wait: ⟦1 min→1m⟧}}"),
    "the version as a text": drill(DEPLOY).replace("offbus: 1", "offbus: ⟦'1'→1⟧"),
    "what a fix brings to light": drill("{id: a, uses: ⟦hodl→hold⟧, with: {⟦exrp→expr⟧: node.cordoned, for: 1s}}"),
    "in a matrix": drill("{id: a, uses: ⟦aks→aks⟧, with: {rate: ⟦'1'→1⟧, size: \"${{ inputs.n }}\"}}", N + "matrix: {n: [1, 2]}\n").replace("⟦aks→aks⟧", "ask"),
}  # fmt: skip

LEFT = {
    "a short word": drill("{id: a, uses: hold, with: {fo: 1s, expr: node.cordoned}}"),
    "a key that is there too": drill("{id: a, uses: deploy, timout: 1m, timeout: 2m}"),
    "a far word": drill("{id: a, uses: something}"),
    "a step that others need": drill("{id: first, uses: deploy}\n{id: b, uses: deploy, needs: [frist]}"),
    "an output": drill("{id: a, uses: ask, expect: [outputs.succes_rate > 0.5]}"),
    "an input": drill('{id: a, uses: ask, with: {node: "${{ inputs.m }}"}}', N),
    "a boolean of 1.1": drill("{id: a, uses: deploy, always: yes}"),
    "an octal": drill("{id: a, uses: ask, with: {rate: 010}}"),
    "a duration without a unit": drill("{id: a, uses: deploy, timeout: 30}"),
    "minutes or hours": drill("{id: a, uses: deploy, timeout: 1:30}"),
    "twice the same unit": drill("{id: a, uses: deploy, timeout: 1s 2s}"),
    "a fraction for an integer": drill(DEPLOY + "{id: b, uses: inject, with: {xid: 79.5}}"),
    "two items or one": drill(DEPLOY + "{id: b, uses: deploy, needs: a # and}\n"),
    "neither of two types": drill("{id: a, uses: ask, with: {size: true}}"),
    "text for a number": drill("{id: a, uses: ask, with: {rate: fast}}"),
    "a name with an anchor": drill("{id: a, uses: &x deplay}\n{id: b, uses: *x}"),
    "what would bring two more to light": drill("{id: d, uses: deploy}\n{id: a, uses: injct, with: {xdd: 1, zzz: 2, vvv: 3}}"),
    "a byte that is not UTF-8": drill(DEPLOY) + "\ud800",
    "an unknown version": "offbus: 2\n",
}  # fmt: skip


def read(path: Path, data: bytes) -> Sequence[Finding]:
    try:
        loaded = load_cells(path, registry=registry(), data=data)
    except InvalidScenario as err:
        return err.findings
    return loaded.scenarios[0].warnings


def fix(data: bytes) -> Fixed:
    path = Path("drill.yaml")
    return fixed(data, str(path), lambda held: read(path, held))


def both(marked: str) -> tuple[str, str]:
    """A marked text before and after."""
    return MARKED.sub(r"\1", marked), MARKED.sub(r"\2", marked)


@pytest.mark.parametrize("marked", CERTAIN.values(), ids=CERTAIN.keys())
def test_what_is_certain_is_fixed(marked: str) -> None:
    wrong, right = both(marked)
    made = fix(wrong.encode())
    assert made.data.decode() == right
    assert len(made.findings) == len(MARKED.findall(marked))
    assert not [one for one in read(Path("drill.yaml"), made.data) if one.severity is Severity.ERROR]


@pytest.mark.parametrize("text", LEFT.values(), ids=LEFT.keys())
def test_what_is_not_certain_is_left(text: str) -> None:
    data = text.encode("utf-8", "surrogatepass")
    assert fix(data) == Fixed(data, ())


@pytest.mark.parametrize("end", ["\r\n", "\r", "\x85", "\u2028"], ids=["crlf", "cr", "nel", "ls"])
def test_line_ends_and_the_byte_order_mark_stay(end: str) -> None:
    wrong, right = both(
        drill("{id: é, uses: deploy, ⟦timout→timeout⟧: 1m}  # ü\n{id: a, uses: ⟦deplay→deploy⟧}").replace(
            "é", "e"
        )
        + "# the end"
    )
    made = fix(b"\xef\xbb\xbf" + wrong.replace("\n", end).encode())
    assert made.data == b"\xef\xbb\xbf" + right.replace("\n", end).encode()


def test_one_that_does_not_count_holds_no_other_back() -> None:
    """All at once is not possible, so each is tried by itself, from the file's end."""
    worse = "{id: c, uses: injct, with: {zzz: 2, vvv: 3}}"
    wrong, right = both(
        drill(
            f"{{id: a, uses: ⟦deplay→deploy⟧}}\n{worse}\n{{id: b, uses: deploy, ⟦timout→timeout⟧: ⟦90 sec→90s⟧}}"
        )
    )
    made = fix(wrong.encode())
    assert made.data.decode() == right
    assert len(made.findings) == 3


def test_a_finding_of_another_file_is_not_of_this_one() -> None:
    data = b"offbus: 1\n"
    other = Finding(
        code=read(Path("x"), data)[0].code,
        message="m",
        where=Position("other.yaml", 1, 1, 1, 2),
        fix=Edit(Position("other.yaml", 1, 1, 1, 2), "X"),
    )
    assert fixed(data, "drill.yaml", lambda _: (other,)) == Fixed(data, ())


def test_edits_of_one_range_are_not_made_at_once() -> None:
    def edit(start: int, end: int, text: str) -> Edit:
        return Edit(Position("a", 1, start, 1, end), text)

    first, second, beside = edit(1, 4, "x"), edit(3, 5, "y"), edit(4, 6, "z")
    assert separate([beside, second, first, first]) == [first, beside]
    assert edited("abcdefg", ["abcdefg"], [], [beside, first]) == "xzfg"
    with pytest.raises(ValueError, match="two edits"):
        edited("abcdefg", ["abcdefg"], [], [first, second])


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("deplay", "deploy"), ("Deploy", "deploy"), ("await-node", "await_node"), ("awaitNode", "await_node"),
        ("step2", None), ("step", None), ("for", None), ("exppect", "expect"), ("epxect", "expect"), ("", None),
        ("x" * 500, None), ("alpha", None),
    ],
)  # fmt: skip
def test_a_slip_has_one_meaning(word: str, meant: str | None) -> None:
    assert certain(word, ["deploy", "await_node", "step1", "fir", "expect", "alphas", "alphat"]) == meant


VALID = drill(
    "{id: d, uses: deploy, timeout: 10m}   # the first\n"
    '{id: i, uses: inject, with: {xid: "${{ inputs.n }}", planes: [kernel, cuda]}}\n'
    "{id: a, uses: ask, with: {env: {A: b}, rate: 2.0}, expect: [outputs.success_rate == 1.0]}   # and the last",
    "# what it is for\ninputs: {n: {type: integer, default: 3}}  # a number\nundo_timeout: 90s\n",
)
SLIPS = [
    ("deploy", "deplay"), ("uses", "use"), ("timeout", "timout"), ("10m", "10 min"), ("90s", "90 sec"), ("kernel", "kernal"),
    ("1.0", "1"), ('"${{ inputs.n }}"', "${{ inputs.n }}"), ("inject", "injct"), ("rate: 2.0", "rate: '2.0'"), ("ask", "aks"),
    ("A: b", "1: 2"), ("xid", "xdi"), ("expect", "except"), ("summary", "sumary"), ("offbus: 1", 'offbus: "1"'), ("with", "wtih"),
    ("[kernel, cuda]", "kernel"), ("inputs", "input"), ("default: 3", "default: 3.0"), ("\n", "\r\n"), ("id: a", "id: A"), ("steps", ""),
]  # fmt: skip


def comments(text: str) -> list[str]:
    return re.findall("#[^\r\n]*", text)


@given(
    st.lists(st.sampled_from(SLIPS), max_size=6),
    st.integers(0, len(VALID)),
    st.sampled_from(["", "x", " ", "{", "\n"]),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_it_is_idempotent_keeps_every_comment_and_leaves_no_more_errors(
    slips: list[tuple[str, str]], at: int, put: str
) -> None:
    text = VALID
    for right, wrong in slips:
        text = text.replace(right, wrong)
    data = (text[:at] + put + text[at:]).encode()
    made = fix(data)
    before, after = (
        [one for one in read(Path("drill.yaml"), held) if one.severity is Severity.ERROR]
        for held in (data, made.data)
    )
    assert fix(made.data) == Fixed(made.data, ())
    assert comments(made.data.decode()) == comments(data.decode())
    assert len(after) <= len(before)
    assert (made.data == data) is (not made.findings)
    assert (made.data.count(b"\n"), made.data.count(b"\r")) == (data.count(b"\n"), data.count(b"\r"))
