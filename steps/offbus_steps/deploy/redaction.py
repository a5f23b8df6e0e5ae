"""Takes secrets out of objects and logs before they are written: the values, and every repetition of them.

Of an object, the value of an environment variable, a probe's header and an annotation stays only if its name is known
to be harmless (offbus_steps.deploy.harmless_names). Other fields lose their values when their names sound secret and
the values are no mere numbers: `maxTokens: 4096` is what one looks for after a failure. Command lines, URLs and
configurations in strings lose what offbus_steps.deploy.secrets_in_text finds in them. URLs lose their userinfo.

What was taken out is learnt, and masked where else it stands, in logs, events and messages, however it is spelt there;
so are the secrets that the run itself has read, by the same means (offbus.masking). Of a value that is longer than any
password only what JSON and a URL make of it is looked for, and its lines one by one. A short or an everyday value is
masked only if its name sounds secret: a log without its every "main" and "1" tells nothing, and hides nothing either.

Whoever writes a pod's log or its manifest chooses what is read here, while faults are undone. So no reader goes twice
over what it has read, lines have a length, and the work is done in steps: of what the caller bounds, each is short, and
whoever drives them can stop between any two. No cut of a line shows a part of a secret.
"""

import json
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, TypeVar
from urllib.parse import quote

from offbus.masking import Masking
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

__all__ = ["BOOKKEEPING", "LEFT_OUT", "LONGEST_LINE", "Redaction", "Steps", "TooManyValues"]

MOST_VALUES = 1000
"""Each is looked for in each text. A target's pods have a few dozen."""
LONGEST_LINE = 16 * 1024
"""Characters of a line of a log or a message; Docker and containerd split longer ones themselves."""
PART = 1 << 16
"""Characters that are searched in one step, where each look at them is dear."""
SHORT_PART = 1 << 13
"""Characters of a step in which escapes are read, too."""
LONGEST_SPELT = 256
"""Characters of a value that is looked for in all spellings: a step reads so much more, 16 times, as a spelling has."""
SHORTEST, SHORTEST_UNSURE = 3, 8
"""Characters: what is masked of a name that sounds secret; of any other."""

BOOKKEEPING = frozenset({"managedFields", "kubectl.kubernetes.io/last-applied-configuration"})
"""Fields that tell nothing of their own; they are left out."""
_ENV_MAPS = frozenset({"env", "envs", "environment"})
_PROSE = frozenset({"message", "note"})
"""Fields with a text that a program wrote: a container's last words, an event."""

_SELECTORS = frozenset({"key", "keys"})
"""Fields of tolerations, selectors and references: a label's name, or the name of a part of a Secret."""

_AUTHORIZATION = re.compile(
    r"""(?i)(?:authorization["']?\s*[:=]\s*["']?(?:[a-z]+\s+)?|\bbearer\s+)([\w.~+/:=-]{8,})"""
)
_TOO_LONG = re.compile(rf"(?m)^[^\n]{{{LONGEST_LINE}}}([^\n]+)")
"""A line, with what is too much of it."""
_LISTED = re.compile(r"[,&]\s*(?:[\w.-]+=)?|^[\w.-]+=(?=.)")
"""Between the values of a list or a query."""
_PLAIN_WORDS = re.compile(r"/?[a-z]+(?:[-_./: ][a-z]+)*/?|[0-9.,:%]+")


T = TypeVar("T")
Steps = Generator[None, None, T]
"""Work in steps: what it makes is its return value."""


class TooManyValues(Exception):
    """Raised instead of a text in which too many values would have to be masked."""


class Redaction:
    """What was taken out of the objects of one target, and what is masked in its texts."""

    def __init__(self, secrets: Masking | None = None) -> None:
        self._secrets = secrets or Masking()
        """Of the run, which sent them to the target."""
        self._learnt: set[str] = set()
        self._spelt = Masking()
        """Of what was learnt, all that is no longer than a password."""
        self._values: set[str] = set()
        """Of the rest, and how JSON and URLs spell it."""
        self._prose: list[tuple[Any, Any]] = []
        """Containers in the copy that is being made, and the keys of their texts that are not masked yet."""

    def object(self, value: Any) -> Any:
        """`cleaning`, to its end."""
        return _done(self.cleaning(value))

    def text(self, text: str) -> str:
        """`masking`, to its end."""
        return _done(self.masking(text))

    def cleaning(self, value: Any) -> Steps[Any]:
        """A copy of a JSON value without the server's bookkeeping and without secrets, which are learnt."""
        self._prose = []
        made = self._cleaned(value, "")
        yield
        for holder, key in self._prose:  # last: a message may stand before the value that it repeats
            known = len(self._learnt) <= MOST_VALUES
            holder[key] = (yield from self.masking(holder[key])) if known else LEFT_OUT
        return self._secrets.json(made) if self._secrets.knows_any else made

    def masking(self, text: str) -> Steps[str]:
        """A log or a message without what was learnt, credentials and userinfo. Raises TooManyValues."""
        if len(self._learnt) > MOST_VALUES:
            raise TooManyValues(f"more than {MOST_VALUES} values would have to be masked")
        text = without_userinfo(text)
        yield
        found = [one.span(1) for one in _AUTHORIZATION.finditer(text)]
        for start in range(0, len(text), PART):
            yield
            found += [(one.start, one.end) for one in secret_queries(text, start, start + PART)]
        for secrets in (one for one in (self._secrets, self._spelt) if one.knows_any):
            for start in range(0, len(text), SHORT_PART):
                yield
                found += secrets.spans(text, start, start + SHORT_PART)
        for value in self._values:
            yield
            found += _occurrences(value, text)
        yield
        return _without(text, found, cut=True)

    def _cleaned(self, value: Any, key: str) -> Any:
        if isinstance(value, Mapping):
            return self._fields(value, key)
        if isinstance(value, list):
            words = [self._cleaned(one, key) for one in value]
            if key in _PROSE:
                self._prose += [(words, number) for number, one in enumerate(words) if isinstance(one, str)]
            elif all(isinstance(one, str) for one in words):
                # a command line, without the values of `--hf-token X`; those within a word are out already
                for number, found in groupby(secrets_of_words(words.copy()), key=lambda one: one[0]):
                    words[number] = self._taken_out(words[number], [one for _, one in found])
            return words
        return self._line(value) if isinstance(value, str) and key not in _PROSE else value

    def _fields(self, fields: Mapping[str, Any], key: str) -> dict[str, Any]:
        if key == "annotations":
            return self._by_name(fields, is_harmless_annotation)
        if key in _ENV_MAPS and not fields.keys() <= {"name", "value", "valueFrom"}:
            return self._by_name(fields, is_harmless_env)
        named = "name" in fields and "value" in fields and key != "sysctls"
        made = {
            name: self._field(name, value, str(fields["name"]) if named else "", key)
            for name, value in fields.items()
            if name not in BOOKKEEPING
        }
        self._prose += [(made, name) for name in _PROSE if isinstance(made.get(name), str)]
        return made

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
            if name not in BOOKKEEPING
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
        for rule in RULES:
            text = self._taken_out(text, rule.find(text))
        return self._taken_out(text, (Secret(*one.span(1), True) for one in _AUTHORIZATION.finditer(text)))

    def _taken_out(self, text: str, secrets: Iterable[Secret]) -> str:
        found = list(secrets)
        for one in found:
            self._learn(text[one.start : one.end], sure=one.sure)
        return _without(text, [(one.start, one.end) for one in found]) if found else text

    def _left_out(self, value: str, *, sure: bool) -> str:
        self._learn(value, sure=sure)
        return LEFT_OUT

    def _learn(self, value: str, *, sure: bool) -> None:
        """Mask it from now on: each of its lines (a log prints a key line by line), the token behind its scheme, the
        parts of a list or a query. Nothing more once there are too many: no text is written then."""
        if len(self._learnt) > MOST_VALUES:
            return
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
            self._learnt.add(one)
            if len(one) <= LONGEST_SPELT:
                self._spelt.learn(one)
            else:
                self._values |= {one, json.dumps(one)[1:-1], json.dumps(one, ensure_ascii=False)[1:-1]}
                self._values.add(quote(one, safe="", errors="replace"))


def _is_scalar(value: Any) -> bool:
    return value is not None and not isinstance(value, Mapping | list)


def _done(steps: Steps[T]) -> T:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: T = end.value
            return found


def _occurrences(value: str, text: str) -> Iterator[tuple[int, int]]:
    at = text.find(value)
    while at >= 0:
        yield at, at + len(value)
        at = text.find(value, at + len(value))


def _without(text: str, found: Iterable[tuple[int, int]], *, cut: bool = False) -> str:
    """The text without these spans, which may overlap; with `cut`, also without what is too long of a line."""
    marks = [(start, end, LEFT_OUT) for start, end in found]
    if cut:
        marks += [(*one.span(1), _cut_mark(one[1])) for one in _TOO_LONG.finditer(text)]
    pieces: list[str] = []
    at = 0
    for start, end, mark in sorted(marks, key=lambda one: (one[0], -one[1])):
        if end <= at:
            continue
        if start >= at or mark is not LEFT_OUT:  # two that overlap are one
            pieces += (text[at:start], mark)
        at = end
    return "".join([*pieces, text[at:]])


def _cut_mark(rest: str) -> str:
    return f"(… {len(rest)} more characters of this line {LEFT_OUT[1:]}"
