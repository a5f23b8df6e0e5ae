"""kubernetes_asyncio's credentials and HTTP session, without its 850 modules of API classes, which nothing here uses.

Its packages import all of them; that takes half a second of every command, and 38 MiB of every runner for as long as
it runs. So the few modules that are used are loaded into packages that were not initialised. `sys.modules` is restored
afterwards: a later import of kubernetes_asyncio, by a user's own test say, gets all of it.

The only module that touches `sys.modules` (decisions 0013 and 0014): the package offers no import of its parts. Used of
kubernetes_asyncio: that `client.configuration`, `client.api_client` and `config` import no API class and no model by
name. When a version is structured differently, all of it is imported: nothing fails, commands start half a second later
and runners need 38 MiB more.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

__all__ = ["Client", "client"]

PACKAGE = "kubernetes_asyncio"
CLIENT, MODELS = f"{PACKAGE}.client", f"{PACKAGE}.client.models"


class Client(NamedTuple):
    """The parts of it that are used."""

    configuration: Any
    """Its class Configuration."""
    api_client: Any
    """Its class ApiClient."""
    config: Any
    """Its module of loaders."""


@cache
def client() -> Client:
    """Imported once, when first needed.

    Its loaders log what they raise, an exec plugin's words and all. They are silenced: whoever loads tells the error.
    """
    logging.getLogger(f"{PACKAGE}.config").setLevel(logging.CRITICAL)
    if CLIENT not in sys.modules:
        try:
            with _uninitialised():
                configuration = import_module(f"{CLIENT}.configuration").Configuration
                sys.modules[CLIENT].Configuration = configuration  # type: ignore[attr-defined]
                api_client = import_module(f"{CLIENT}.api_client").ApiClient
                sys.modules[CLIENT].ApiClient = api_client  # type: ignore[attr-defined]
                return Client(configuration, api_client, import_module(f"{PACKAGE}.config"))
        except (ImportError, AttributeError):
            pass  # structured differently: import all of it
    whole = import_module(CLIENT)
    return Client(whole.Configuration, whole.ApiClient, import_module(f"{PACKAGE}.config"))


@contextmanager
def _uninitialised() -> Iterator[None]:
    """Empty packages that only have a path; all of kubernetes_asyncio is removed from `sys.modules` at the end."""
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == PACKAGE}
    try:
        root = find_spec(PACKAGE)
        if root is None or root.origin is None:
            raise ImportError(f"{PACKAGE} is not installed")
        for name in (PACKAGE, CLIENT, MODELS):
            package = ModuleType(name)
            package.__path__ = [str(Path(root.origin).parent.joinpath(*name.split(".")[1:]))]
            sys.modules[name] = package
        sys.modules[PACKAGE].client = sys.modules[CLIENT]  # type: ignore[attr-defined]
        sys.modules[CLIENT].models = sys.modules[MODELS]  # type: ignore[attr-defined]
        yield
    finally:
        for name in [one for one in sys.modules if one.partition(".")[0] == PACKAGE]:
            del sys.modules[name]
        sys.modules.update(before)
