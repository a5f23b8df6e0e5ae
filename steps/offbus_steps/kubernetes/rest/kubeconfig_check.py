"""Checks a kubeconfig file before the client library reads it, which accepts files of the wrong shape.

It knows only as much of the format as it needs to say what is wrong, and where: a mapping, whose lists hold named
entries. Pure but for reading the file; messages contain no values, which may be secrets.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from offbus.files import read_bounded
from offbus.masking import Masking

__all__ = ["checked_kubeconfig", "without_logins"]

LARGEST = 4 << 20
LISTS = {"clusters": "cluster", "contexts": "context", "users": "user"}
"""Each list, and the mapping in its entries."""
LOGINS = frozenset({"token", "password", "client-key-data"})
SHORTEST_SECRET = 6
"""Characters: shorter values of a plugin's environment are words such as `true` and `1`."""


class NoKubeconfig(ValueError):
    """Raised for a file that is not a kubeconfig; the message says why."""


def checked_kubeconfig(path: Path) -> dict[str, Any]:
    """Its content. Raises OSError when it cannot be read, NoKubeconfig when it is not valid."""
    import yaml

    text = read_bounded(path, LARGEST)
    if len(text) > LARGEST:
        raise NoKubeconfig(f"it has more than {LARGEST >> 20} MiB")
    try:
        content = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  a safe loader
    except yaml.MarkedYAMLError as err:
        mark = err.problem_mark or err.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise NoKubeconfig(f"{where}it is not YAML: {err.problem or err.context}") from err
    except (yaml.YAMLError, RecursionError) as err:
        raise NoKubeconfig(f"it is not YAML: {' '.join(str(err).split())}") from err
    return _checked(content)


def _checked(content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise NoKubeconfig(f"it is not a kubeconfig: it holds {_kind(content)}, not a mapping")
    current = content.get("current-context")
    if current is not None and not isinstance(current, str):
        raise NoKubeconfig(f"current-context is {_kind(current)}, not a text")
    if (
        content.get("users") is None
    ):  # kubectl writes `users: null` where no one logs in (a proxy in between does)
        content["users"] = []
    for key, holds in LISTS.items():
        entries = content.get(key)
        if not isinstance(entries, list):
            raise NoKubeconfig(f"{key} is {_kind(entries)}, not a list")
        for number, entry in enumerate(entries):
            where = f"{key}[{number}]"
            if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
                raise NoKubeconfig(f"{where} is not a mapping with a name")
            inner = entry.get(holds)
            if not isinstance(inner, dict):
                raise NoKubeconfig(f"{where}.{holds} is {_kind(inner)}, not a mapping")
            for text in ("server", "cluster", "user"):
                if text in inner and not isinstance(inner[text], str):
                    raise NoKubeconfig(f"{where}.{holds}.{text} is {_kind(inner[text])}, not a text")
    return content


def without_logins(said: str, kubeconfig: dict[str, Any]) -> str:
    """What was said of a checked kubeconfig, without the values by which its users log in.

    The client library repeats what an exec plugin wrote to stderr, and that may be what the file gave to the plugin.
    """
    masking = Masking()
    for entry in kubeconfig["users"]:
        for value in _texts(entry["user"]):
            if len(value) >= SHORTEST_SECRET:
                masking.learn(value)
    return masking.text(said)


def _texts(user: dict[str, Any]) -> Iterator[str]:
    yield from (value for key, value in user.items() if key in LOGINS and isinstance(value, str))
    plugin, provider = user.get("exec"), user.get("auth-provider")
    env = plugin.get("env") if isinstance(plugin, dict) else None
    for one in env if isinstance(env, list) else ():
        if isinstance(one, dict) and isinstance(one.get("value"), str):
            yield one["value"]
    config = provider.get("config") if isinstance(provider, dict) else None
    yield from (one for one in (config.values() if isinstance(config, dict) else ()) if isinstance(one, str))


def _kind(value: Any) -> str:
    kinds = {dict: "a mapping", list: "a list", str: "a text", type(None): "nothing"}
    return kinds.get(type(value), f"a {type(value).__name__}")
