"""Takes secrets out of objects and logs before they are written: the values, and every repetition of them.

Of an object, the value of an environment variable, a probe's header and an annotation stays only if its name is known
to be harmless (offbus_steps.deploy.harmless_names). Other fields lose their values when their names sound secret and
the values are no mere numbers: `maxTokens: 4096` is what one looks for after a failure. Command lines, URLs and
configurations in strings lose what offbus_steps.deploy.secrets_in_text finds in them. URLs lose their userinfo.

What was taken out is learnt, and masked where else it stands: in logs, events and messages, also as JSON or a URL
escapes it. A short or an everyday value is masked only if its name sounds secret: a log without its every "main" and
"1" tells nothing, and hides nothing either.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from offbus.userinfo import userinfos, without_userinfo
from offbus_steps.deploy.harmless_names import (
    is_harmless_annotation,
    is_harmless_env,
    is_harmless_header,
    sounds_secret,
)
from offbus_steps.deploy.secrets_in_text import (
    EVERYDAY,
    LEFT_OUT,
    RULES,
    Secret,
    secret_queries,
    secrets_of_words,
)

__all__ = ["LEFT_OUT", "Redaction", "TooManyValues"]

MOST_VALUES = 1000
"""Each is looked for in each text. A target's pods have a few dozen."""
SHORTEST, SHORTEST_UNSURE, STANDS_ALONE = 3, 8, 8
"""Characters: what is masked of a name that sounds secret; of any other; what is masked inside of longer words, too."""

_BOOKKEEPING = frozenset({"managedFields", "kubectl.kubernetes.io/last-applied-configuration"})
_ENV_MAPS = frozenset({"env", "envs", "environment"})
_PROSE = frozenset({"message", "note"})
"""Fields with a text that a program wrote: a container's last words, an event."""

_SELECTORS = frozenset({"key", "keys"})
"""Fields of tolerations, selectors and references: a label's name, or the name of a part of a Secret."""

_AUTHORIZATION = re.compile(
    r"""(?i)(?:authorization["']?\s*[:=]\s*["']?(?:[a-z]+\s+)?|\bbearer\s+)([\w.~+/:=-]{8,})"""
)
_LISTED = re.compile(r"[,&]\s*(?:[\w.-]+=)?|^[\w.-]+=(?=.)")
"""Between the values of a list or a query."""
_PLAIN_WORDS = re.compile(r"/?[a-z]+(?:[-_./: ][a-z]+)*/?|[0-9.,:%]+")


class TooManyValues(Exception):
    """Raised instead of a text in which too many values would have to be masked."""


class Redaction:
    """What was taken out of the objects of one target, and what is masked in its texts."""

    def __init__(self) -> None:
        self._values: set[str] = set()

    def object(self, value: Any) -> Any:
        """A copy of a JSON value without the server's bookkeeping and without secrets, which are learnt."""
        self._cleaned(value, "")  # a message may stand before the value that it repeats
        return self._cleaned(value, "")

    def text(self, text: str) -> str:
        """A log or a message without what was learnt, credentials and userinfo. Raises TooManyValues."""
        if len(self._values) > MOST_VALUES:
            raise TooManyValues(f"more than {MOST_VALUES} values would have to be masked")
        text = _AUTHORIZATION.sub(_masked_group, without_userinfo(text))
        text = _without(text, secret_queries(text))
        for value in sorted(self._values, key=len, reverse=True):
            if value not in text:
                continue
            if len(value) < STANDS_ALONE:
                text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", LEFT_OUT, text)
            else:
                text = text.replace(value, LEFT_OUT)
        return text

    def _cleaned(self, value: Any, key: str) -> Any:
        if isinstance(value, Mapping):
            return self._fields(value, key)
        if isinstance(value, list):
            words = [self._cleaned(one, key) for one in value]
            if not all(isinstance(one, str) for one in words):
                return words
            # A command line, without the values of `--hf-token X`; those within a word are out already.
            found: dict[int, list[Secret]] = {}
            for number, one in secrets_of_words(words):
                found.setdefault(number, []).append(one)
            return [self._taken_out(word, found.get(number, [])) for number, word in enumerate(words)]
        if not isinstance(value, str):
            return value
        if key in _PROSE:
            return self.text(value) if len(self._values) <= MOST_VALUES else LEFT_OUT
        return self._line(value)

    def _fields(self, fields: Mapping[str, Any], key: str) -> dict[str, Any]:
        if key == "annotations":
            return self._by_name(fields, is_harmless_annotation)
        if key in _ENV_MAPS and not fields.keys() <= {"name", "value", "valueFrom"}:
            return self._by_name(fields, is_harmless_env)
        named = "name" in fields and "value" in fields and key != "sysctls"
        return {
            name: self._field(name, value, str(fields["name"]) if named else "", key)
            for name, value in fields.items()
            if name not in _BOOKKEEPING
        }

    def _field(self, name: str, value: Any, entry: str, key: str) -> Any:
        """One field of an object; `entry` is the name of the variable or header whose entry the object is."""
        if entry and name == "value" and _is_scalar(value):
            harmless = is_harmless_header if key == "httpHeaders" else is_harmless_env
            return self._shown(value, harmless(entry), entry)
        if name not in _SELECTORS and isinstance(value, str) and sounds_secret(name) and value:
            return value if EVERYDAY.fullmatch(value) else self._left_out(value, sure=True)
        if name == "path" and isinstance(value, str) and "?" in value:
            path, _, query = value.partition("?")
            self._learn(query, sure=False)
            return f"{path}?{LEFT_OUT}"
        return self._cleaned(value, name)

    def _by_name(self, values: Mapping[str, Any], harmless: Callable[[str], bool]) -> dict[str, Any]:
        return {
            name: self._shown(value, harmless(name), name)
            if _is_scalar(value)
            else self._cleaned(value, name)
            for name, value in values.items()
            if name not in _BOOKKEEPING
        }

    def _shown(self, value: Any, harmless: bool, name: str) -> Any:
        if harmless or value == "":
            return self._line(value) if isinstance(value, str) else value
        return self._left_out(
            value if isinstance(value, str) else json.dumps(value), sure=sounds_secret(name)
        )

    def _line(self, text: str) -> str:
        """A string that may be a command line, a URL, or a configuration."""
        for userinfo in userinfos(text):
            user, colon, password = userinfo.partition(":")
            self._learn(password if colon else user, sure=bool(colon))
        text = without_userinfo(text)
        for found_in in RULES:
            text = self._taken_out(text, found_in(text))
        return _AUTHORIZATION.sub(self._credentials, text)

    def _taken_out(self, text: str, found: list[Secret]) -> str:
        for one in found:
            self._learn(text[one.start : one.end], sure=one.sure)
        return _without(text, found)

    def _credentials(self, found: re.Match[str]) -> str:
        self._learn(found[1], sure=True)
        return _masked_group(found)

    def _left_out(self, value: str, *, sure: bool) -> str:
        self._learn(value, sure=sure)
        return LEFT_OUT

    def _learn(self, value: str, *, sure: bool) -> None:
        """Mask it from now on: each of its lines (a log prints a key line by line), the token behind its scheme, the
        parts of a list or a query."""
        listed = _LISTED.split(value) if _LISTED.search(value) else ()
        for part in {value, *value.splitlines(), value.rpartition(" ")[2], *listed}:
            one = part.strip().strip("\\\"'[]")
            ordinary = EVERYDAY if sure else _PLAIN_WORDS
            if (
                len(one) < (SHORTEST if sure else SHORTEST_UNSURE)
                or ordinary.fullmatch(one)
                or LEFT_OUT in one
            ):
                continue
            self._values |= {one, json.dumps(one)[1:-1], json.dumps(one, ensure_ascii=False)[1:-1]}
            self._values.add(quote(one, safe="", errors="replace"))


def _is_scalar(value: Any) -> bool:
    return value is not None and not isinstance(value, Mapping | list)


def _masked_group(found: re.Match[str]) -> str:
    start, end = found.span(1)
    return found[0][: start - found.start()] + LEFT_OUT + found[0][end - found.start() :]


def _without(text: str, found: list[Secret]) -> str:
    for one in reversed(found):
        text = text[: one.start] + LEFT_OUT + text[one.end :]
    return text
