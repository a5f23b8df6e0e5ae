"""A gateway that would be open to more than it says, or whose configuration is wrong, does not start: exit code 2."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from offbus.errors import UsageError
from offbus_steps.commands.gateway import gateway


def refused(*words: str) -> str:
    with pytest.raises(UsageError) as told:
        CliRunner().invoke(gateway, words, catch_exceptions=False, standalone_mode=False)
    return str(told.value)


@pytest.fixture
def token(tmp_path: Path) -> str:
    path = tmp_path / "token"
    path.write_text("t\n")
    path.chmod(0o600)
    return str(path)


def test_local_is_served_on_this_machine_alone(token: str) -> None:
    words = refused("--env", "local", "--host", "0.0.0.0", "--token-file", token)
    assert "listens on this machine alone" in words


def test_a_cluster_s_gateway_says_which_namespaces_are_drills(tmp_path: Path, token: str) -> None:
    path = tmp_path / "g.yaml"
    path.write_text("guards: {max_cordoned_nodes: 2}\n")
    for more in ((), ("--config", str(path))):
        assert "which namespaces belong to drills" in refused("--token-file", token, *more)


def test_somebody_must_be_able_to_call(tmp_path: Path) -> None:
    assert "nobody could call" in refused("--env", "local")
    assert "asks a cluster" in refused("--env", "local", "--kubernetes-auth")


def test_a_token_that_everybody_can_read_is_none(token: str) -> None:
    Path(token).chmod(0o644)
    assert "world-readable" in refused("--env", "local", "--token-file", token)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("longest: 25h", "longest: it must be from 1s to"),
        ("nodes: []", "nodes"),
        ("guards: {max_cordoned: 1}", "guards.max_cordoned"),
        ("colour: red\nkeep: 0", "colour: "),
        ("a: [", "is no YAML"),
        ("- x", "the file"),
    ],
)
def test_a_wrong_configuration_says_what_is_wrong(tmp_path: Path, token: str, text: str, words: str) -> None:
    path = tmp_path / "g.yaml"
    path.write_text(text)
    told = refused("--env", "local", "--token-file", token, "--config", str(path))
    assert words in told
    assert str(path) in told


def test_a_configuration_that_is_not_there_says_so(tmp_path: Path, token: str) -> None:
    path = str(tmp_path / "none.yaml")
    assert "cannot be read" in refused("--env", "local", "--token-file", token, "--config", path)
