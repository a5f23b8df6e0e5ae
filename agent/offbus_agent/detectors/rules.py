"""The rules of others' detectors: their patterns, which records they read, and what each does about what it finds.

Job: read `data/*.toml`, one file for each detector, into typed records. Patterns stand there as the detectors' own
sources have them; how they apply one is said beside it. NVSentinel's are those that the stand-in responder reads by,
and by its `buckets` the catalogue says what it recommends. Facts have a version and a source, and say how they are
known: `seen` (it was run), `read` (in its source), `assumed`.

Must not: know our catalogue or our lines (`offbus_agent.conformance` joins them), read a log. A file that is not of
this shape is a bug, and raises TypeError, ValueError or KeyError when it is read.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, Literal

__all__ = ["Answer", "Detector", "How", "Release", "Rule", "detector", "detectors", "numbers"]

How = Literal["seen", "read", "assumed"]
Reads = Literal["kmsg", "journal", "nvml", "cuda"]
"""Raw records of the kernel log; journald's MESSAGE; NVML's XID events; the results of its own CUDA calls."""
NAMES = ("nvsentinel", "dcgm", "gpud", "npd", "device-plugin", "dynamo")
"""In the order in which they are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One pattern of a detector."""

    name: str
    finds: Literal["xid", "sxid", "fallen-off", "address", "reset", "detail"]
    pattern: str
    """A regular expression of its own engine, which Python's understands alike (a test runs Go's beside it)."""
    source: str
    applied: Literal["text", "record", "end"] = "text"
    """Searched in the text; matched on the whole raw record; searched, up to the end of the text."""
    pci: int = 0
    """The group of the address; 0 when none has it."""
    number: int = 0
    """The group of the XID or SXID; 0 when none has it."""
    only: str = ""
    """Numbers for which it counts; "" for all."""

    def match(self, text: str, raw: str = "") -> re.Match[str] | None:
        """What it finds in a text, or in the raw record that the text is of."""
        if self.applied == "record":
            return _compiled(self.pattern).fullmatch(raw)
        found = _compiled(rf"(?:{self.pattern})\Z" if self.applied == "end" else self.pattern).search(text)
        return (
            None if found and self.only and int(found[self.number][:19]) not in numbers(self.only) else found
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One release of a detector, or one way in which it is set up."""

    name: str
    version: str
    how: How
    source: str
    reads: Reads
    transport: str = ""
    """It takes journal entries of this `_TRANSPORT` alone; "" for any."""
    facility: int | None = None
    unit: str = ""
    identifier: str = ""
    rules: tuple[str, ...] | None = None
    """The names of those that it has; None for all."""
    only: str = ""
    """XIDs that it looks at; "" for all."""
    only_why: str = ""
    ignores: str = ""
    """XIDs that it finds, and drops."""
    ignores_why: str = ""
    tabled: bool = False
    """Whether it drops what it has no answer for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a detector does about some XIDs or SXIDs, or about a recommended action."""

    says: str
    xids: str = ""
    sxids: str = ""
    action: str = ""
    cordons: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """One detector."""

    name: str
    title: str
    source: str
    releases: tuple[Release, ...]
    rules: tuple[Rule, ...] = ()
    answers: tuple[Answer, ...] = ()
    buckets: Mapping[str, str] = field(default_factory=dict)
    """NVSentinel's: cells of NVIDIA's catalogue, and what it recommends for each."""
    recovery: Mapping[str, str] = field(default_factory=dict)
    """NVSentinel's: what the driver asks for with XID 154, and what it recommends for that."""

    def rule(self, name: str) -> Rule:
        """The rule of that name. Raises KeyError."""
        return {one.name: one for one in self.rules}[name]

    def rules_of(self, release: Release) -> Iterator[Rule]:
        """Those that find a fault in that release."""
        wanted = ("xid", "sxid", "fallen-off")
        for rule in self.rules:
            if rule.finds in wanted and (release.rules is None or rule.name in release.rules):
                yield rule


@cache
def detector(name: str) -> Detector:
    """The detector of that name. Raises KeyError for one that is not there."""
    if name not in NAMES:
        raise KeyError(name)
    with resources.files("offbus_agent.detectors").joinpath(f"data/{name}.toml").open("rb") as file:
        data = tomllib.load(file)
    lists: Mapping[str, type[Any]] = {"releases": Release, "rules": Rule, "answers": Answer}
    data |= {key: tuple(of(**_tupled(row)) for row in data.get(key, ())) for key, of in lists.items()}
    return Detector(name=name, **data)


def detectors() -> tuple[Detector, ...]:
    """All of them."""
    return tuple(map(detector, NAMES))


@cache
def numbers(text: str) -> frozenset[int]:
    """ "1-3 7" as numbers."""
    spans = [part.partition("-") for part in text.split()]
    return frozenset(n for first, _, last in spans for n in range(int(first), int(last or first) + 1))


def _tupled(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)  # as Go's: `\d` is a digit of ours alone
