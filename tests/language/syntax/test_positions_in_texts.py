"""A finding inside a text points at the very character, however the text is written in YAML."""

from pathlib import Path

import pytest

from tests.kits.language.drill_types import findings

HEAD = "offbus: 1\nname: drill\nsteps:\n  - id: a\n    uses: ask\n"

SPELLINGS = {
    "plain": "    when: inputs.⟦x == 1\n",
    "double quotes": '    when: "inputs.⟦x == 1"\n',
    "double quotes with escapes": "    when: \"'\\t\\x41\\u00e9\\\\' == inputs.⟦x\"\n",
    "single quotes": "    when: 'inputs.⟦x == 1'\n",
    "single quotes doubled": "    when: '''é'' == inputs.⟦x'\n",
    "literal block": "    when: |\n      1 == 1 &&\n      inputs.⟦x == 1\n",
    "literal block with a comment": "    when: |-  # why\n\n      1 == 1 &&\n        inputs.⟦x == 1\n",
    "literal block that says its indentation": "    when: |2\n        1 == 1 &&\n      inputs.⟦x == 1\n",
    "literal block of another system": "    when: |\r\n      1 == 1 &&\r\n      inputs.⟦x == 1\r\n",
    "expression in a plain text": "    with:\n      node: n-${{ inputs.⟦x }}\n",
    "expression in a quoted text": '    with:\n      node: "\\"${{ true }}\\" ${{ inputs.⟦x }}"\n',
    "expression in a literal block": "    with:\n      node: |\n        a\n        b ${{ inputs.⟦x }}\n",
}


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_the_caret_is_exact(tmp_path: Path, spelling: str) -> None:
    before, _, after = (HEAD + spelling).partition("inputs.⟦")
    (finding,) = findings(tmp_path, f"{before}inputs.{after}")
    assert finding.code == "OB402"
    line, column = before.count("\n") + 1, len(before.rpartition("\n")[2]) + 1
    where = finding.where
    assert (where.line, where.column, where.end_column) == (line, column, column + len("inputs.x"))


@pytest.mark.parametrize(
    "spelling",
    ["    when: >\n      1 == 1 &&\n      inputs.x == 1\n", '    when: "1 == 1 &&\n      inputs.x == 1"\n'],
    ids=["folded", "quoted over lines"],
)
def test_in_a_folded_text_the_place_is_the_text(tmp_path: Path, spelling: str) -> None:
    (finding,) = findings(tmp_path, HEAD + spelling)
    assert (finding.where.line, finding.where.column) == (6, 11)
