"""An editor with a scenario: yaml-language-server, unmodified from npm, driven over its protocol, with our schema.

VS Code's YAML extension is this server. The schema is that of the installation, which knows its step types alone.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from offbus.cli.commands.schema import schema_text
from tests.kits import REPOSITORY
from tests.kits.programs_of_others import npm_program

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

VERSION = "1.25.0"
SCENARIO = """\
# yaml-language-server: $schema=scenario.schema.json
offbus: 1
name: drill
steps:
  - id: deploy
    uses: deploy
    with: {existing: {kind: Deployment, name: web, namespace: shop}}
  - id: load
    uses: load
    with:
      rate: 20
"""
SETTINGS = {"validate": True, "hover": True, "completion": True, "schemaStore": {"enable": False}}


class Editor:
    """What an editor says to the server, and what it is told; one message after the other (LSP 3.17)."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self._server = subprocess.Popen(
            [*command, "--stdio"],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._folder, self._number = folder, 0
        self._diagnostics: dict[str, list[dict[str, Any]]] = {}
        self.ask(
            "initialize",
            processId=None,
            rootUri=folder.as_uri(),
            capabilities={"workspace": {"configuration": True}},
        )
        self._send("initialized", {})
        self._send("workspace/didChangeConfiguration", {"settings": {"yaml": SETTINGS}})

    def close(self) -> None:
        self._server.kill()
        self._server.communicate()

    def open(self, name: str, text: str) -> str:
        """The URI of a file that is opened with a text."""
        uri = (self._folder / name).as_uri()
        self._send(
            "textDocument/didOpen",
            {"textDocument": {"uri": uri, "languageId": "yaml", "version": 1, "text": text}},
        )
        return uri

    def diagnostics(self, uri: str) -> list[dict[str, Any]]:
        """The first that are told of a file."""
        while uri not in self._diagnostics:
            self._read()
        return self._diagnostics[uri]

    def ask(self, method: str, **params: Any) -> Any:
        """The answer to a request."""
        self._number += 1
        number = self._number
        self._send(method, params, id=number)
        while True:
            message = self._read()
            if message.get("id") == number and "method" not in message:
                return message["result"]

    def at(self, method: str, uri: str, line: int, character: int) -> Any:
        """The answer to a request about a position, from 0."""
        return self.ask(method, textDocument={"uri": uri}, position={"line": line, "character": character})

    def _read(self) -> dict[str, Any]:
        assert self._server.stdout is not None
        length = 0
        while (line := self._server.stdout.readline().strip()) or not length:
            assert line or self._server.poll() is None, "the server has ended"
            if line.lower().startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        message: dict[str, Any] = json.loads(self._server.stdout.read(length))
        if message.get("method") == "textDocument/publishDiagnostics":
            self._diagnostics[message["params"]["uri"]] = message["params"]["diagnostics"]
        elif "method" in message and "id" in message:  # the server asks
            wanted = (
                message["params"].get("items", []) if message["method"] == "workspace/configuration" else []
            )
            answers = [SETTINGS if item.get("section") == "yaml" else None for item in wanted]
            self._write({"jsonrpc": "2.0", "id": message["id"], "result": answers or None})
        return message

    def _send(self, method: str, params: Any, **more: Any) -> None:
        self._write({"jsonrpc": "2.0", "method": method, "params": params, **more})

    def _write(self, message: dict[str, Any]) -> None:
        assert self._server.stdin is not None
        body = json.dumps(message).encode()
        self._server.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self._server.stdin.flush()


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    folder = tmp_path_factory.mktemp("editor")
    command = npm_program("yaml-language-server", VERSION)
    (folder / "scenario.schema.json").write_text(schema_text("scenario"))
    (folder / "published.schema.json").write_text(schema_text("scenario", is_published=True))
    opened = Editor(command, folder)
    yield opened
    opened.close()


def test_a_right_scenario_has_no_diagnostic(editor: Editor) -> None:
    assert editor.diagnostics(editor.open("right.yaml", SCENARIO)) == []


@pytest.mark.parametrize("name", ["first.yaml", "xid79.yaml", "xid.yaml"])
def test_the_shipped_scenarios_have_none_either(editor: Editor, name: str) -> None:
    text = (
        (REPOSITORY / "scenarios" / name)
        .read_text()
        .replace("../schemas/scenario.json", "published.schema.json")
    )
    assert editor.diagnostics(editor.open(name, text)) == []


@pytest.mark.parametrize("schema", ["scenario", "published"])
def test_a_misspelt_step_type_is_marked(editor: Editor, schema: str) -> None:
    text = SCENARIO.replace("uses: load", "uses: inject_falt").replace("scenario.schema", f"{schema}.schema")
    found = editor.diagnostics(editor.open(f"type-{schema}.yaml", text))
    assert [one["range"]["start"] for one in found] == [{"line": 8, "character": 10}]


def test_an_unknown_key_is_marked(editor: Editor) -> None:
    found = editor.diagnostics(editor.open("key.yaml", SCENARIO.replace("rate:", "rat:")))
    assert [one["range"]["start"] for one in found] == [{"line": 10, "character": 6}]
    assert "rat is not allowed" in found[0]["message"]


def test_step_types_and_params_are_completed(editor: Editor) -> None:
    uri = editor.open(
        "complete.yaml", SCENARIO.replace("uses: load", "uses: ").replace("      rate: 20\n", "      ")
    )
    types = {one["label"] for one in editor.at("textDocument/completion", uri, 8, 10)["items"]}
    assert {"deploy", "inject_fault", "load", "verify_inference"} <= types
    uri = editor.open("params.yaml", SCENARIO.replace("      rate: 20\n", "      "))
    params = {one["label"] for one in editor.at("textDocument/completion", uri, 10, 6)["items"]}
    assert {"rate", "target", "prompt"} <= params


def test_hovering_explains(editor: Editor) -> None:
    uri = editor.open("hover.yaml", SCENARIO)
    assert "Requests a second" in json.dumps(editor.at("textDocument/hover", uri, 10, 7))
    assert "Send requests at a fixed rate" in json.dumps(editor.at("textDocument/hover", uri, 8, 5))
