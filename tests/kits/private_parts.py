"""What the tests of private parts of libraries share (docs/decisions/0014-private-parts.md): who uses what, and the
sentence of a failure after an upgrade."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, TypeVar

LEAN = "steps/offbus_steps/kubernetes/rest/lean_client.py"
CONNECTION = "steps/offbus_steps/kubernetes/rest/connection.py"
ABORT = "steps/offbus_steps/kubernetes/rest/abort_on_close.py"
UNIX = "sandbox/offbus_sandbox/adapter/unix_http.py"
SERVER = "agent/offbus_agent/http/uvicorn_server.py"
CONNECTIONS = "agent/offbus_agent/http/connections.py"
LIVE = "engine/offbus/cli/views/live.py"
CEL_ERRORS = "engine/offbus/language/cel/error_text.py"
CEL_TYPES = "engine/offbus/language/cel/library_types.py"
PYDANTIC = "engine/offbus/language/check/pydantic_wording.py"
YAML = "engine/offbus/language/syntax/yaml_wording.py"

T = TypeVar("T")
WATCHDOG_S = 10

LIBRARIES = {
    LEAN: "kubernetes-asyncio",
    CONNECTION: "kubernetes-asyncio",
    ABORT: "aiohttp",
    UNIX: "httpx",
    SERVER: "uvicorn",
    CONNECTIONS: "uvicorn",
    LIVE: "rich",
    CEL_ERRORS: "cel-expr-python",
    CEL_TYPES: "cel-expr-python",
    PYDANTIC: "pydantic",
    YAML: "pyyaml",
}
"""Module -> the library of which it uses private parts."""


def changed(module: str, part: str) -> str:
    """The sentence of a failure."""
    library = LIBRARIES[module]
    return (
        f"{library} {version(library)}: {part} is not as it was. {module} relies on it, and its docstring says what "
        f"happens without it. Mend that module (look first for a public way), or lower the upper bound of {library} "
        "in pyproject.toml to below this version."
    )


def run(work: Coroutine[Any, Any, T]) -> T:
    """What never comes is an error."""
    return asyncio.run(asyncio.wait_for(work, WATCHDOG_S))


@contextmanager
def relied_on(module: str, part: str) -> Iterator[None]:
    """Whatever goes wrong in the block is told as a change of the library."""
    try:
        yield
    except Exception as err:
        raise AssertionError(f"{changed(module, part)} ({type(err).__name__}: {err})") from err
