"""What a stand-in responder says of itself: the release that it plays, what its delays are divided by, its settings.

Its controller publishes that in a ConfigMap of the responder's namespace when it starts (`STANDIN_PROFILE`); a version
that says less is asked for less. What is written there is somebody's text: only words and numbers of it are told on.
Pure.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from offbus_steps.nvsentinel.containers import STANDIN_PROFILE, ConfigFile
from offbus_steps.port import Ref

__all__ = ["STANDIN_NAME", "Standin", "published"]

STANDIN_NAME = "the stand-in responder"
WORD = re.compile(r"[a-zA-Z0-9_.-]{1,32}")
LIMIT = 20_000


@dataclass(frozen=True, slots=True)
class Standin:
    """One stand-in."""

    profile: str = ""
    """"" when it does not say: one of offbus 0.1."""
    plays: str = ""
    """The release whose rules these are."""
    scale: float = 1.0
    changed: tuple[str, ...] = ()
    """Settings that are not the profile's."""
    settings: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """From the ConfigMap's data."""
        try:
            settings = json.loads(str(told.get("settings") or "{}")[:LIMIT])
            scale = float(str(settings.get("scale", 1))[:32])
        except (ValueError, RecursionError, AttributeError):
            settings, scale = {}, 1.0
        return cls(
            profile=_word(settings.get("profile")),
            plays=_word(told.get("plays")),
            scale=scale if 0 < scale <= 1000 else 1.0,
            changed=tuple(filter(None, map(_word, str(told.get("changed") or "")[:LIMIT].split()))),
            settings=settings,
        )

    def section(self, name: str) -> Mapping[str, Any]:
        """A section of its settings; empty where there is none."""
        found = self.settings.get(name)
        return found if isinstance(found, Mapping) else {}

    def __str__(self) -> str:
        """As plans and reports tell it: "profile fast (main-2026-08), delays 1:20"."""
        if not self.profile:
            return "it does not say which release it plays"
        of = f" ({self.plays})" if self.plays not in ("", self.profile) else ""
        changed = f"; set otherwise: {', '.join(self.changed)}" if self.changed else ""
        return f"profile {self.profile}{of}, delays 1:{self.scale:g}{changed}"


def published(files: Mapping[Ref, Mapping[str, ConfigFile]]) -> Standin:
    """The one that has published itself among these files; one that says nothing where none has."""
    return Standin.of({key: file.text for key, file in files.get(STANDIN_PROFILE, {}).items()})


def _word(told: object) -> str:
    return told if isinstance(told, str) and WORD.fullmatch(told) else ""
