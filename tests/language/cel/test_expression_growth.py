"""What an expression makes is bounded before it is evaluated: a stranger's scenario is looked at in bounded memory."""

import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offbus.findings.model import Position
from offbus.language.cel import types
from offbus.language.cel.expressions import Compiler, EvaluationError, Expression
from offbus.language.cel.scope import Scope
from offbus.language.cel.vocabulary import Vocabulary
from tests.kits.language.drill_types import drill, findings

TEN = "a+a+a+a+a+a+a+a+a+a"
BOMBS = {
    "chained": '["aaaaaaaaaa"]' + f".map(a, {TEN})" * 9 + ' == ["b"]',
    "a variable in brackets": '["aaaaaaaaaa"]' + f".map((a), {TEN})" * 9 + ' == ["b"]',
    "of three arguments": '["aaaaaaaaaa"]' + f".map(a, true, {TEN})" * 9 + ' == ["b"]',
    "lists": "[[1]]" + f".map(a, {TEN})" * 9 + " == []",
    "lists of lists": "[1]" + ".map(a, [a,a,a,a,a,a,a,a,a,a])" * 9 + " == []",
    "a field": '[{"k": "aaaaaaaaaa"}]' + '.map(a, {"k": a.k+a.k+a.k+a.k+a.k})' * 14 + " == []",
    "an item": '[["aaaaaaaaaa"]]' + ".map(a, [a[0]+a[0]+a[0]+a[0]+a[0]])" * 14 + " == []",
    "nested": "".join(f"[{TEN.replace('a', v)}].all({w}, " for v, w in zip(" abcdefgh", "abcdefghi", strict=True))
    .replace("[" + TEN.replace("a", " ") + "]", '["aaaaaaaaaa"]') + "true" + ")" * 9,
    "text of a message": 'google.protobuf.ListValue{values: ["aaaaaaaaaa"]}' + f".map(a, {TEN})" * 9 + " == []",
}  # fmt: skip


@pytest.mark.parametrize("case", BOMBS)
def test_what_may_grow_without_bound_is_not_evaluated(case: str) -> None:
    condition = compiled(BOMBS[case])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(EvaluationError, match="it may make more than 16777216 characters or items"):
        condition.evaluate(Scope())
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024


def compiled(text: str, **names: types.CelType) -> Expression:
    found = Compiler().compile(text, Vocabulary(inputs=names), Position("x"))
    assert isinstance(found, Expression), found
    return found


def test_large_inputs_count() -> None:
    scope = Scope(inputs={"a": "x" * 2_000_000})
    assert compiled("inputs.a + inputs.a", a=types.STRING).value(scope) == "x" * 4_000_000
    with pytest.raises(EvaluationError, match="may make more than"):
        compiled("+".join(["inputs.a"] * 9), a=types.STRING).value(scope)
    with pytest.raises(EvaluationError, match="may make more than"):
        compiled(f"[{','.join(['inputs.a'] * 9)}]", a=types.STRING).value(scope)


def test_a_long_expression_is_told_in_short() -> None:
    with pytest.raises(EvaluationError) as caught:
        compiled(f'"{"x" * 90_000}" == "" || 1 / 0 == 1').value(Scope())
    assert len(caught.value.message) < 1000


PODS = [{"name": f"pod-{n}", "namespace": "default", "node": f"n-{n}", "ready": True} for n in range(4000)]


@pytest.mark.parametrize(
    "text",
    [
        'pods.all(p, p.ready && p.node != "x")',
        'pods.map(p, p.namespace + "/" + p.name)[3999] == "default/pod-3999"',
        "size(pods) == 4000 && pods.filter(p, p.ready)[0].name.startsWith('pod')",
        'pods.exists_one(p, p.name == "pod-7") && "pod-7" in pods.map(p, p.name)',
        "size(pods + pods) == 8000",
    ],
)
def test_what_conditions_ask_of_a_large_cluster_is_evaluated(text: str) -> None:
    text = re.sub(r"\bpods\b", "inputs.pods", text)
    assert compiled(text, pods=types.NAMED["list"]).evaluate(Scope(inputs={"pods": PODS}))


@pytest.mark.parametrize("call", ["min(l)", "max(l)", "l.quantile(0.5)"])
def test_reading_a_list_costs_what_it_has_each_time_that_it_is_read(call: str) -> None:
    """Each call has the whole list, which is made of Python's objects first."""
    nested = types.NAMED["list"]
    held = [[1.0] * 1000]
    one = compiled(f"inputs.l.all(l, l.all(x, {call} >= 0.0))", l=nested)
    assert one.evaluate(Scope(inputs={"l": [[1.0] * 100]}))
    many = compiled(f"inputs.l.all(l, l.all(x, {' && '.join([f'{call} >= 0.0'] * 100)}))", l=nested)
    with pytest.raises(EvaluationError, match="may make more than"):
        many.evaluate(Scope(inputs={"l": held}))


def grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Lists of texts, made of such lists by all that makes values."""
    return st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda some: f"({' + '.join(some)})"),
        st.tuples(inner, inner).map(lambda pair: f"(true ? {pair[0]} : {pair[1]})"),
        st.tuples(inner, inner).map(lambda pair: f'{{"k": {pair[0]}, "l": {pair[1]}}}.l'),
        st.tuples(inner, st.sampled_from(["a + a", "string(a) + 'xy'", "a", "[a, a][0] + a"])).map(
            lambda pair: f"{pair[0]}.map(a, {pair[1]})"
        ),
        st.tuples(inner, inner).map(lambda pair: f"{pair[0]}.filter(a, size({pair[1]}) > 0)"),
        st.tuples(inner, inner).map(lambda pair: f"[{pair[0]}, {pair[1]}].map(b, b[0] + b[0])"),
        st.tuples(inner, inner).map(lambda pair: f"{pair[0]}.map(a, {pair[1]}.map(b, a + b)[0])"),
    )


LISTS = st.recursive(
    st.sampled_from(['["a"]', '["abc", "de"]', "inputs.l", "[string(12345)]"]), grown, max_leaves=8
)


@settings(max_examples=300, deadline=None)
@given(text=LISTS)
def test_the_bound_is_one(text: str) -> None:
    """No value is larger than the bound says."""
    from offbus.language.cel.growth import cost, measure
    from offbus.language.cel.lexer import tokens

    held = ["x" * 40, "y"]
    found = Compiler().compile(text, Vocabulary(inputs={"l": types.NAMED["list"]}), Position("x"))
    if not isinstance(found, Expression):
        return  # nested too deeply for the library
    bound = cost(tokens(text), {"inputs.l": measure(held)})
    try:
        value = found.value(Scope(inputs={"l": held}))
    except EvaluationError:
        return
    assert measure(value).whole <= bound


def validated(tmp_path: Path, lines: str) -> tuple[subprocess.CompletedProcess[str], int]:
    """`offbus validate` of a scenario with these steps' params, and the most memory (KiB) that it took."""
    head = "offbus: 1\nname: bomb\nsummary: x.\ninputs:\n  a: {type: string, default: b}\nenvironment: {uses: local}\n"
    (tmp_path / "drill.yaml").write_text(f"{head}steps:\n{lines}")
    measured = (
        "import resource, subprocess, sys\n"
        "done = subprocess.run([sys.executable, '-m', 'offbus', 'validate', 'drill.yaml'])\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
        "sys.exit(done.returncode)"
    )
    done = subprocess.run(
        [sys.executable, "-c", measured],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done, int(done.stdout.split()[-1])


def step(number: int, expression: str) -> str:
    return f"  - id: s{number}\n    uses: deploy\n    with:\n      manifest: '${{{{ {expression} }}}}'\n"


def test_a_scenario_that_makes_gigabytes_is_one_finding_at_its_place(tmp_path: Path) -> None:
    done, memory = validated(tmp_path, step(1, '["aaaaaaaaaa"]' + f".map(a, {TEN})" * 9 + "[0] + inputs.a"))
    assert done.returncode == 2, done.stderr
    shown = done.stdout + done.stderr
    assert "drill.yaml:11:17" in shown
    assert "it may make more than 16777216 characters or items" in shown
    assert shown.count("error OB") == shown.count("OB409") == 1
    assert len(shown) < 3000
    assert memory < 250 * 1024


def test_many_expressions_that_are_large_together_are_one_finding(tmp_path: Path) -> None:
    lines = "".join(
        step(n, '["aaaaaaaaaa"]' + f".map(a, {TEN})" * 4 + f'[0] + inputs.a + "{n}"') for n in range(200)
    )
    done, memory = validated(tmp_path, lines)
    assert done.returncode == 2, done.stderr
    shown = done.stdout + done.stderr
    assert shown.count("OB409") == 1
    assert "make more than 67108864 characters or items together" in shown
    assert len(shown) < 100_000, "the names of files are cut"
    assert memory < 400 * 1024


def test_a_file_name_that_no_file_can_have_is_told_in_short(tmp_path: Path) -> None:
    (finding,) = findings(tmp_path, drill(f"{{id: a, uses: read, with: {{file: {'n' * 100_000}}}}}"))
    assert (finding.code, finding.message) == ("OB310", f"a file's name of 100000 characters: {'n' * 100}…")
