"""Wrong use has its answer: one clear message, the right exit code, nothing half-done."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCENARIO = """\
offbus: 1
name: tiny
summary: Waits.
environment: {uses: local}
steps:
  - {id: watch, uses: deploy, with: {existing: {kind: Deployment, name: a, namespace: b}}}
"""


def told(result: "subprocess.CompletedProcess[str]", code: int, *words: str) -> None:
    """The exit code, the words on stderr or stdout, and no traceback."""
    text = result.stdout + result.stderr
    assert result.returncode == code, text
    assert "Traceback" not in text
    for word in words:
        assert word in text, text


def untouched(folder: Path) -> None:
    """No run was begun."""
    runs = folder / "state" / "offbus" / "runs"
    assert not runs.exists() or not any(path.is_dir() and path.name != ".locks" for path in runs.iterdir())


def test_no_such_file(offbus, tmp_path):
    told(offbus("run", "nowhere.yaml"), 2, "nowhere.yaml", "no such file")
    untouched(tmp_path)


@pytest.mark.parametrize("command", [("run",), ("plan", "--offline")], ids=["run", "plan"])
def test_what_validate_warns_of_is_said_before_a_run(offbus, tmp_path, monkeypatch, command):
    """A value that no input takes: the run would go on with the default."""
    monkeypatch.setenv("OFFBUS_INPUT_XIT", "48")
    (tmp_path / "drill.yaml").write_text(
        SCENARIO.replace("steps:", "inputs: {xid: {type: integer, default: 79}}\nsteps:")
    )
    done = offbus(*command, "drill.yaml")
    assert "OFFBUS_INPUT_XIT" in done.stderr
    assert "OFFBUS_INPUT_XIT" not in done.stdout


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1\nb: 2", ["bad.yaml:2:2", "not YAML"]),
        (SCENARIO.replace("uses: deploy", "uses: deploi"), ["bad.yaml:6:23", "deploi", "deploy"]),
        (SCENARIO.replace("name: tiny", "nmae: tiny"), ["bad.yaml:2:1", "nmae", "name"]),
        (SCENARIO.replace("offbus: 1", "offbus: 9"), ["bad.yaml:1:9", "9"]),
        (
            SCENARIO.replace("steps:", "inputs: {xid: {type: integer}}\nsteps:"),
            ["xid", "--set"],
        ),
    ],
    ids=["not YAML", "an unknown step type", "an unknown key", "a newer format", "an input that is not set"],
)
def test_a_bad_scenario(offbus, tmp_path, text, words):
    (tmp_path / "bad.yaml").write_text(text)
    told(offbus("run", "bad.yaml"), 2, *words)
    told(offbus("validate", "bad.yaml"), 2, *words)
    untouched(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--nope", "x.yaml"], ["--nope"]),
        (["rnu"], ["rnu", "run"]),
        (["run"], ["FILE"]),
        (["run", "x.yaml", "--set", "xid"], ["xid", "NAME=VALUE"]),
        (["recover", "nosuchrun"], ["nosuchrun"]),
        (["report", "nosuchrun"], ["nosuchrun"]),
        (["steps", "nosuchstep"], ["nosuchstep"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_command_line(offbus, tmp_path, arguments, words):
    (tmp_path / "x.yaml").write_text(SCENARIO)
    told(offbus(*arguments), 2, *words)
    untouched(tmp_path)


ACME = """\
from offbus.step import Kind, Outputs, Params, StepType
GOOD = StepType(
    name="acme", kind=Kind.ACTION, summary="Acme.", params=Params, outputs=Outputs, run="acme_missing:run"
)
"""


def test_a_step_whose_code_is_missing_begins_no_run(offbus, tmp_path):
    info = tmp_path / "site" / "acme-1.dist-info"
    info.mkdir(parents=True)
    (info / "entry_points.txt").write_text("[offbus.steps]\nacme = acme_types:GOOD\n")
    (tmp_path / "site" / "acme_types.py").write_text(ACME)
    (tmp_path / "x.yaml").write_text(f"{SCENARIO}  - {{id: last, uses: acme}}\n")
    env = {"PYTHONPATH": str(tmp_path / "site")}
    told(offbus("validate", "x.yaml", env=env), 0)
    told(offbus("run", "x.yaml", env=env), 3, "step type 'acme' cannot be run", "acme_missing")
    untouched(tmp_path)


def test_a_run_folder_that_cannot_be_made(offbus, tmp_path):
    (tmp_path / "x.yaml").write_text(SCENARIO)
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file" / "runs", "/proc/runs", "/proc"):
        told(offbus("run", "x.yaml", "--runs", folder), 2, f"{folder}", "choose another folder with --runs")
    told(offbus("run", "x.yaml", env={"XDG_STATE_HOME": "/proc/state"}), 3, "/proc/state")


@pytest.mark.skipif(os.geteuid() != 0, reason="a full disk is a small tmpfs, which only root can mount")
def test_a_full_run_folder_touches_nothing_and_says_so(tmp_path):
    (tmp_path / "x.yaml").write_text(SCENARIO)
    script = (
        'mount -t tmpfs -o size=16k tmpfs "$1" && cd "$1/.." && '
        '(cat /dev/zero > "$1/filler" 2>/dev/null || true) && exec "$2" -m offbus run x.yaml --runs "$1"'
    )
    (tmp_path / "runs").mkdir()
    result = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", str(tmp_path / "runs"), sys.executable],
        capture_output=True,
        text=True,
        timeout=60,
    )
    told(result, 3, "No space left")


@pytest.mark.parametrize("command", ["validate", "plan", "run"])
def test_what_is_no_file_is_refused_and_not_waited_for(offbus, tmp_path, command):
    os.mkfifo(tmp_path / "pipe.yaml")
    told(offbus(command, "pipe.yaml"), 2, "pipe.yaml", "a pipe, not a file")
    told(offbus(command, "/dev/zero"), 2, "/dev/zero", "a device, not a file")
    told(offbus(command, tmp_path), 2, "a folder, not a file")
    with (tmp_path / "huge.yaml").open("wb") as file:
        file.truncate(1 << 40)
    told(offbus(command, "huge.yaml"), 2, "huge.yaml", "more than 2 MiB")
    untouched(tmp_path)


@pytest.mark.parametrize("command", ["validate", "plan", "run"])
def test_a_manifest_that_is_missing_or_wrong_is_found_before_the_run(offbus, tmp_path, command):
    text = SCENARIO.replace("existing: {kind: Deployment, name: a, namespace: b}", "manifest: target.yaml")
    (tmp_path / "drill.yaml").write_text(text)
    column = 1 + text.splitlines()[5].index("target.yaml")
    told(
        offbus(command, "drill.yaml"), 2, f"drill.yaml:6:{column}: error OB310", "target.yaml cannot be read"
    )
    (tmp_path / "target.yaml").write_text("metadata: {name: [1]}\n")
    told(
        offbus(command, "drill.yaml"), 2, "OB310", "target.yaml:1:1, document 1: metadata.name cannot be [1]"
    )
    (tmp_path / "target.yaml").write_text("{kind: Service, apiVersion: v1, metadata: {name: a}}\n")
    told(offbus(command, "drill.yaml"), 2, "OB310", "must have one target, it has none")
    untouched(tmp_path)


def whole(cluster, user):
    """A kubeconfig that is complete but for what stands in its cluster and its user."""
    server = "server: 'https://127.0.0.1:1', "
    return (
        f"{{clusters: [{{name: a, cluster: {{{server}{cluster}}}}}], users: [{{name: a, user: {{{user}}}}}],"
        " contexts: [{name: a, context: {cluster: a, user: a}}], current-context: a}"
    )


KUBECONFIG = {
    "a list": ("- a", "it holds a list, not a mapping"),
    "nothing": ("", "it holds nothing, not a mapping"),
    "a text": ("hello", "it holds a text, not a mapping"),
    "not YAML": ("a: [1\nb: 2", "line 2, column 2: it is not YAML"),
    "too deep": ("[" * 5000, "it is not YAML"),
    "not UTF-8": ("\udcff", "it is not YAML"),
    "no clusters": ("{}", "clusters is nothing, not a list"),
    "clusters": ("{clusters: {a: b}}", "clusters is a mapping, not a list"),
    "an entry": ("{clusters: [1]}", "clusters[0] is not a mapping with a name"),
    "a cluster": ("{clusters: [{name: a, cluster: [b]}]}", "clusters[0].cluster is a list, not a mapping"),
    "a server": (
        "{clusters: [{name: a, cluster: {server: 3}}]}",
        "clusters[0].cluster.server is a int, not a text",
    ),
    "a context": (
        "{clusters: [], contexts: [], users: [], current-context: [a]}",
        "current-context is a list",
    ),
    "no context": ("{clusters: [], contexts: [], users: []}", "current-context"),
    "a certificate": (whole("certificate-authority-data: {b: c}", ""), "cannot use"),
    "an exec plugin": (whole("", "exec: [1]"), "cannot use"),
}


@pytest.mark.parametrize("case", KUBECONFIG)
def test_a_wrong_kubeconfig(offbus, tmp_path, case):
    text, says = KUBECONFIG[case]
    (tmp_path / "x.yaml").write_text(SCENARIO)
    config = tmp_path / "config"
    config.write_bytes(text.encode("utf-8", "surrogateescape"))
    result = offbus("run", "x.yaml", "--env", "kubernetes", env={"KUBECONFIG": str(config)})
    told(result, 3, str(config), says, "--env-set kubeconfig=")
    assert "internal error" not in result.stderr
    assert len(result.stderr.splitlines()) <= 3, result.stderr  # the client library may log a line of its own
    untouched(tmp_path)


def test_a_kubeconfig_without_users_is_a_good_one(offbus, tmp_path):
    """As `kubectl config view` writes it for a cluster behind a proxy that logs in: the next thing is the server."""
    (tmp_path / "x.yaml").write_text(SCENARIO)
    config = tmp_path / "config"
    config.write_text(
        "{clusters: [{name: a, cluster: {server: 'http://127.0.0.1:1'}}],"
        " contexts: [{name: a, context: {cluster: a}}], users: null, current-context: a}"
    )
    result = offbus("run", "x.yaml", "--env", "kubernetes", env={"KUBECONFIG": str(config)})
    told(result, 3, "cannot connect to the API server")


def test_a_kubeconfig_that_is_no_file(offbus, tmp_path):
    (tmp_path / "x.yaml").write_text(SCENARIO)
    os.mkfifo(tmp_path / "pipe")
    for path, says in ((tmp_path / "pipe", "a pipe"), (tmp_path, "a folder"), ("/dev/zero", "a device")):
        told(
            offbus("run", "x.yaml", "--env", "kubernetes", env={"KUBECONFIG": str(path)}), 3, f"it is {says}"
        )


def test_a_stdout_on_a_full_disk_is_told_and_is_no_success(offbus):
    with open("/dev/full", "w") as full:  # noqa: PTH123  a device
        result = subprocess.run(
            [sys.executable, "-m", "offbus", "--help"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert (result.returncode, "No space left" in result.stderr) == (3, True)
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("module", ["click", "yaml"], ids=["before the commands", "in a command"])
def test_an_interrupt_while_the_program_is_read(offbus, tmp_path, module):
    """The interrupt comes exactly when a module is imported: a file of its name sends it."""
    (tmp_path / f"{module}.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    (tmp_path / "x.yaml").write_text(SCENARIO)
    result = offbus("validate", "x.yaml", env={"PYTHONPATH": str(tmp_path)})
    told(result, 130, "interrupted before anything was changed")
    assert result.stderr.strip() == "offbus: interrupted before anything was changed"


def test_an_interrupt_that_is_ignored_stays_ignored(offbus, tmp_path):
    (tmp_path / "click.py").write_text(
        "import os, signal, sys\nos.kill(os.getpid(), signal.SIGINT)\nprint('went on')\nsys.exit(0)\n"
    )
    result = subprocess.run(
        ["sh", "-c", 'trap "" INT; exec "$0" -m offbus --help', sys.executable],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    told(result, 0, "went on")


def test_help_has_examples_everywhere(offbus):
    for command in ("run", "validate", "plan", "recover", "report", "steps", "schema", "completion"):
        result = offbus(command, "--help")
        assert result.returncode == 0, result.stderr
        assert "Examples:" in result.stdout, command
