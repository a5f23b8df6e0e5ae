"""One vocabulary: words, names and module names that were replaced do not come back.

Words are whole words in any case; identifiers are split at underscores and capitals, so that `find_places` and
`PlaceGone` are found and `replace` is not. docs/decisions and the changelog tell history and may use them.
"""

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import PurePosixPath

import pytest

from tests.kits import REPOSITORY

PRODUCT = ("engine", "steps", "agent", "sandbox", "shim")
PARTS = (*PRODUCT, "deploy", "scenarios", "docs", "README.md", "CONTRIBUTING.md", "Makefile")
HISTORY = "docs/decisions/"

REPLACED = {
    r"place[sd]?": "location, position, environment, sandbox, or the plain word; instead of, happens",
    r"mend(s|ed|ing)?": "fix",
    r"sights?": "preflight check",
    r"foresee(s|n|ing)?|foresaw": "preflight",
    r"haste": "fast disarm",
    r"breaths?": "checkpoint",
    r"heirs?": "next step",
    r"hurry|hurries|hurried": "stop requested",
    r"lapse[sd]?|lapsing": "expire, expired, expiry",
    r"doubt\w*": "verify; when it is not certain",
    r"foreign": "external (a change); somebody else's, of another owner",
}
"""Word, as a regular expression -> what to use instead."""

EXCEPTIONS = {
    ("engine/offbus/journal/codec.py", "mend"): "key of journal format 1",
    ("engine/offbus/report/model.py", "mend"): "key of reports of 0.1.0",
    ("agent/offbus_agent/models.py", "lapsed"): "state and event kind in the stores of agents of 0.1.0",
    ("steps/offbus_steps/agents/client.py", "lapsed"): "state and error code of agents of 0.1.0",
    ("steps/offbus_steps/kubernetes/journaled_state.py", "lapsed"): "key in journals of 0.1.0",
}
"""(File, word) -> why it is needed there. Each has to occur."""

NAMES = {"settled": "resolved", "kept": "persisted, retained", "left": "remaining", "haste": "fast_disarm"}
"""Python names that the product does not define -> what to use instead. As words they are ordinary English."""

RENAMED = """
abrupt=abort_on_close applying=event_handlers asking=ask attribution=external_changes background=background_tasks
bindings=ancestor_outputs board=run_state breaker=circuit_breaker breath=checkpoint capacity=fit
causes=stop_causes celtypes=types clearing=clear closing=summary collecting=collect|gc_pause
complaints=pydantic_errors damage=gaps deaths=process_exit doorbell=events_inotify draining=drain due=delays
effects=xid_effects elsewhere=import_run explaining=steps fault_book=registry fault_events=event_log
fetching=recover_remote figures=formatting filed=referenced_files finish=teardown foreseeing=preflight
guarded=short_circuit haste=fast_disarm head=run_started injection=inject keeper=lease_keeper kept=recovery_events
kernel_line=line kmsg_device=kmsg lapsing=lease_watch left=unfinished_runs lexing=lexer library=library_types
loading=shim_pod meaning=step_meaning named=names|cli_environment native=native_library node_agent=client
node_page=page_plane observations=event_log opening=open overview=status pace=rate_limit permissions=rights
place=location|sandbox_choice places=positions planning=plan preload=shim_fields proxying=proxy
published=published_reports recording=recorder recovering=recover reporting=report residues=residue
restarting=replace_pods running=run sentences=event_lines start=entrypoint|launch stats=statistics statuses=errors
stepping=step_runner stopping=stop|stop_conditions terms=nvsentinel/names traces=fingerprint undoing=undo_runner
undolog=undo_registry unopened=failed_open unquoted=unquoted_templates unrecovered=unrecoverable uses=access
validating=validate watching=watch where=selector wording=error_text words=theme
"""
MODULES = dict(pair.split("=") for pair in RENAMED.split())
"""Modules that have other names now: old name -> new name, or names."""

WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
PATTERNS = [(re.compile(pattern), instead) for pattern, instead in REPLACED.items()]


def words(text: str) -> Iterator[tuple[int, str]]:
    """The words of a text in lower case, each with its line."""
    for number, line in enumerate(text.splitlines(), start=1):
        for word in WORD.findall(line):
            yield number, word.lower()


@cache
def instead_of(word: str) -> str | None:
    """What to use instead of a word; None when the word is fine."""
    return next((instead for pattern, instead in PATTERNS if pattern.fullmatch(word)), None)


def replaced_words(text: str) -> Iterator[tuple[int, str, str]]:
    """Line, word, and what to use instead."""
    for number, word in words(text):
        instead = instead_of(word)
        if instead is not None:
            yield number, word, instead


def defined_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every name that a module defines, in any scope, with its line."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield node.lineno, name
            case ast.arg(arg=name) | ast.alias(asname=str(name)):
                yield node.lineno, name
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name


def files(*parts: str) -> list[str]:
    """Tracked files below some folders, without the pages that tell history."""
    command = ["git", "ls-files", "-z", "--", *parts]
    listed = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=60
    ).stdout
    names = [name for name in listed.split("\0") if name and not name.startswith(HISTORY)]
    return [name for name in names if (REPOSITORY / name).is_file()]


def text_of(name: str) -> str:
    """A file's text; none when it is binary."""
    try:
        return (REPOSITORY / name).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


@pytest.fixture(scope="module", autouse=True)
def _a_checkout() -> None:
    if not (REPOSITORY / ".git").exists():
        pytest.skip("not a git checkout: an unpacked source archive")


@pytest.mark.parametrize("part", PARTS)
def test_no_replaced_word_occurs(part: str) -> None:
    found = [
        f"{name}:{line}: {word!r}: use {instead}"
        for name in files(part)
        for line, word, instead in replaced_words(text_of(name))
        if (name, word) not in EXCEPTIONS
    ]
    assert files(part), "there is no such part"
    assert not found, "\n".join(["words that were replaced:", *found])


@pytest.mark.parametrize(("name", "word"), EXCEPTIONS, ids=[f"{name}: {word}" for name, word in EXCEPTIONS])
def test_an_exception_is_still_needed(name: str, word: str) -> None:
    occurring = {found for _, found, _ in replaced_words((REPOSITORY / name).read_text(encoding="utf-8"))}
    assert word in occurring, "remove it from EXCEPTIONS"


@pytest.mark.parametrize("part", PRODUCT)
def test_no_replaced_name_is_defined(part: str) -> None:
    found = [
        f"{file}:{line}: {name!r}: use {NAMES[name.strip('_').lower()]}"
        for file in files(part)
        if file.endswith(".py")
        for line, name in defined_names(ast.parse(text_of(file)))
        if name.strip("_").lower() in NAMES
    ]
    assert not found, "\n".join(["names that were replaced:", *found])


def test_no_module_has_its_old_name() -> None:
    modules = [PurePosixPath(name) for name in files(*PRODUCT) if name.endswith(".py")]
    found = [f"{path}: use {MODULES[path.stem]}" for path in modules if path.stem in MODULES]
    assert modules
    assert not found, "\n".join(["modules that were renamed:", *found])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("the Place of a step", ["place"]),
        ("find_places", ["places"]),
        ("PlaceGone", ["place"]),
        ("written in-place, MOST_MENDED", ["place", "mended"]),
        ("a lease that LAPSED; undoubtedly\nin doubt, doubtful", ["lapsed", "doubt", "doubtful"]),
        ("replace a placeholder; placement; elapsed; insight; recommended; breathe", []),
    ],
)
def test_words_are_found_whole_and_in_identifiers(text: str, found: list[str]) -> None:
    assert [word for _, word, _ in replaced_words(text)] == found


def test_names_are_found_in_every_scope() -> None:
    code = "def kept(left):\n    self._settled = haste = [used for used in left]\n    from a import b as c\n"
    assert {name for _, name in defined_names(ast.parse(code))} == {
        *("kept", "left", "_settled", "haste", "used", "c"),
    }


def test_a_word_is_told_with_its_line() -> None:
    assert [(line, word) for line, word, _ in replaced_words("fine\n\na foreign change\n")] == [
        (3, "foreign")
    ]
