"""Secret inputs: given by where they are, by who runs the scenario alone; what is shown never has a value."""

from pathlib import Path

import anyio
import pytest
from pydantic import Field

from offbus.errors import StepError
from offbus.findings.render_text import render
from offbus.language.cel.scope import Scope
from offbus.language.plan import make_plan
from offbus.plugins import Registry
from offbus.secret import LONGEST, Secret, SecretSource, read_secret, source_of
from offbus.step import Kind, Outputs, Params, StepType
from tests.kits.language.drill_types import ENVIRONMENTS, STEPS, drill, findings, load

PLANTED = "hunter2-Zm9vYmFy"
HEADER = "inputs: {token: {type: secret}}\n"
TEXT = drill('{id: a, uses: call, with: {headers: {x-key: "${{ inputs.token }}", x-plain: p}}}', HEADER)


class CallParams(Params):
    headers: dict[str, str | Secret] = Field({}, description="Headers.")


class Nothing(Outputs):
    pass


async def _run(_ctx: object, _params: object) -> Nothing:
    return Nothing()


CALL = StepType(
    name="call", kind=Kind.OBSERVATION, summary="Calls.", params=CallParams, outputs=Nothing, run=_run
)


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry.of(steps={**STEPS, "call": CALL}, environments=ENVIRONMENTS)
    monkeypatch.setattr("tests.kits.language.drill_types.registry", lambda: registry)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("from_env:TOKEN", "from_env:TOKEN"),
        ("from_secret:ns/name/key", "from_secret:ns/name/key"),
        ("from_file:/a/b", "from_file:/a/b"),
    ],
)
@pytest.mark.parametrize("way", ["sets", "environ", "inputs"])
def test_a_param_holds_which_input_it_is(tmp_path: Path, text: str, shown: str, way: str) -> None:
    kind, _, name = text.partition(":")
    (tmp_path / "inputs.yaml").write_text(f"token: {{{kind}: {name}}}\n")
    said = {
        "sets": {"sets": {"token": text}, "environ": {}},
        "environ": {"environ": {"OFFBUS_INPUT_TOKEN": text}},
        "inputs": {"inputs": tmp_path / "inputs.yaml", "environ": {}},
    }[way]
    scenario = load(tmp_path, TEXT, **said)
    params = scenario.steps[0].params.resolve(Scope(inputs=scenario.inputs))
    assert params == CallParams(headers={"x-key": Secret(secret="token", given=shown), "x-plain": "p"})
    assert scenario.secrets == {"token": SecretSource(kind, name)}  # type: ignore[arg-type]  # one of three words
    assert make_plan(scenario).to_json()["inputs"] == {"token": shown}


@pytest.mark.parametrize("way", ["sets", "environ", "inputs"])
def test_a_plain_value_is_refused_and_not_repeated(tmp_path: Path, way: str) -> None:
    (tmp_path / "inputs.yaml").write_text(f"token: {PLANTED}\n")
    said = {
        "sets": {"sets": {"token": PLANTED}, "environ": {}},
        "environ": {"environ": {"OFFBUS_INPUT_TOKEN": PLANTED}},
        "inputs": {"inputs": tmp_path / "inputs.yaml", "environ": {}},
    }[way]
    (found,) = findings(tmp_path, TEXT, **said)
    assert found.code == "OB505"
    assert "never as it is: from_env:NAME, from_file:PATH" in found.message
    assert PLANTED not in render([found]) + str(found.to_json())


def test_a_misspelt_name_does_not_repeat_the_value_either(tmp_path: Path) -> None:
    (tmp_path / "inputs.yaml").write_text(f"tokken: {PLANTED}\n")
    said = {"token": "from_env:T", "toekn": PLANTED}
    found = findings(tmp_path, TEXT, sets=said, inputs=tmp_path / "inputs.yaml", environ={})
    assert [one.code for one in found] == ["OB504", "OB504"]
    assert PLANTED not in render(found)


@pytest.mark.parametrize(
    "text",
    [
        f'{{"token": "{PLANTED}", "n": "abc"}}\n',
        f"{{token: {{from_env: T}}, n: abc, note: {PLANTED}}}\n",
        f"{{token: {PLANTED}, token: {PLANTED}}}\n",
        f"token: {PLANTED}: x\n",
        f"- {PLANTED}\n",
    ],
    ids=["beside it", "of another name", "twice", "no YAML", "no mapping"],
)
def test_no_line_of_a_file_of_inputs_is_shown(tmp_path: Path, text: str) -> None:
    (tmp_path / "inputs.yaml").write_text(text)
    scenario = TEXT.replace(
        "{token: {type: secret}}", "{token: {type: secret}, n: {type: integer, default: 1}}"
    )
    found = findings(tmp_path, scenario, inputs=tmp_path / "inputs.yaml", environ={})
    assert any(one.where.file.endswith("inputs.yaml") for one in found)
    assert PLANTED not in render(found)


@pytest.mark.parametrize(
    "text",
    [
        f"password: {PLANTED}\n",
        f"{{password: {PLANTED}, user: bob}}\n",
        f"{PLANTED}\n",
        f"{{password: {PLANTED}, password: {PLANTED}}}\n",
        f"password: {PLANTED}: x\n",
        f"{{offbus: {PLANTED}}}\n",
        f"[machine, {PLANTED}, &a 1, *b]\n",
    ],
)
def test_no_line_of_an_inlined_file_is_shown_that_is_no_scenario(tmp_path: Path, text: str) -> None:
    (tmp_path / "creds.yaml").write_text(text)
    found = findings(tmp_path, drill("{id: x, uses: scenario, with: {file: creds.yaml}}"), environ={})
    assert found
    assert PLANTED not in render(found)


@pytest.mark.parametrize("default", [PLANTED, "{from_file: /etc/shadow}", "from_env:HOME", "1"])
def test_a_scenario_does_not_say_where_a_secret_is(tmp_path: Path, default: str) -> None:
    text = TEXT.replace("{type: secret}", f"{{type: secret, default: {default}}}")
    found = findings(tmp_path, text, environ={})
    assert {one.code for one in found} <= {"OB505", "OB203"}
    assert found
    assert PLANTED not in render(found)


def test_a_scenario_that_writes_a_secret_by_hand_names_an_input_and_no_file(tmp_path: Path) -> None:
    for forged in ("{from_file: /etc/shadow}", "{secret: token, from_file: /etc/shadow}"):
        assert findings(
            tmp_path, drill(f"{{id: a, uses: call, with: {{headers: {{x-key: {forged}}}}}}}"), environ={}
        )
    inner = tmp_path / "inner.yaml"
    inner.write_text(TEXT)
    for value in ("{from_file: /etc/shadow}", "from_env:HOME"):
        outer = drill(f"{{id: x, uses: scenario, with: {{file: inner.yaml, inputs: {{token: {value}}}}}}}")
        (found,) = findings(tmp_path, outer, environ={})
        assert "only who runs the scenario says" in found.message


def test_a_secret_passes_into_a_file_that_is_inlined(tmp_path: Path) -> None:
    (tmp_path / "inner.yaml").write_text(TEXT)
    outer = drill(
        '{id: x, uses: scenario, with: {file: inner.yaml, inputs: {token: "${{ inputs.mine }}"}}}',
        "inputs: {mine: {type: secret}}\n",
    )
    scenario = load(tmp_path, outer, sets={"mine": "from_env:T"}, environ={})
    params = scenario.steps[0].params.resolve(Scope(inputs=scenario.inputs))
    assert params.model_dump()["headers"]["x-key"]["secret"] == "mine"


@pytest.mark.parametrize(
    "where", ["when: 'inputs.token == \"x\"'", 'with: {headers: {x-a: "Bearer ${{ inputs.token }}"}}']
)
def test_nothing_is_computed_with_a_secret(tmp_path: Path, where: str) -> None:
    text = drill(f"{{id: a, uses: call, {where}}}", HEADER)
    (found,) = findings(tmp_path, text, sets={"token": "from_env:T"}, environ={})
    assert found.code in ("OB403", "OB407")


def test_an_axis_of_a_matrix_is_no_secret(tmp_path: Path) -> None:
    text = TEXT.replace("steps:", "matrix: {token: [from_env:A]}\nsteps:")
    assert "OB505" in [one.code for one in findings(tmp_path, text, environ={})]


def test_it_is_read_when_it_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_TOKEN", f"{PLANTED}\n")
    path = tmp_path / "token"
    path.write_text(f"{PLANTED}\r\n")
    monkeypatch.chdir(tmp_path)

    class Store:
        async def read_secret(self, name: str) -> str:
            return f"of {name}"

    def read(text: str, environment: object = None) -> str:
        return anyio.run(read_secret, "token", source_of(text), environment)

    assert read("from_env:MODEL_TOKEN") == PLANTED
    assert read("from_file:token") == PLANTED
    assert read("from_secret:ns/a/b", Store()) == "of ns/a/b"
    path.write_bytes(b"\xff")
    (tmp_path / "large").write_bytes(b"x" * (LONGEST + 1))
    for text, says in (
        ("from_env:NOT_SET_ANYWHERE", "is empty"),
        ("from_file:no", "cannot be read"),
        ("from_file:token", "not UTF-8"),
        ("from_file:large", "larger"),
        ("from_file:.", "it is a folder"),
        ("from_secret:ns/a/b", "stores none"),
    ):
        with pytest.raises(StepError, match=says):
            read(text)
