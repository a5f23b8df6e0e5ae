"""NVSentinel's action for an NVLink 5 line (XIDs 144-150).

Job: match the two words in the parentheses against the "Xid 144-150 Decode" sheet of NVIDIA's catalogue
(`data/xid_nvlink5_decode.csv`) as NVSentinel's parser does: by number, intrInfo bit pattern and error status; the
driver's version chooses between two pattern columns: the layout of intrInfo changed with R575, and an unknown version
counts as older (seen with the real monitor). A line of another shape raises `NotNvlink5`.
"""

import csv
import re
from functools import cache
from importlib import resources

__all__ = ["FIRST_R575", "NotNvlink5", "branch", "bucket", "unit"]

FIRST_R575 = 575
"""First driver branch with the newer intrInfo layout (sub-code in bits 6:0; before it in bits 9:5)."""

_LINE = re.compile(
    r"^(14[4-9]|150), (\w+)\s+(\w+)\s+(\w+)\s+(\w+)\s+Link\s+(-?\d+)\s+\((0x[0-9a-fA-F]+)\s+(0x[0-9a-fA-F]+)"
)


class NotNvlink5(ValueError):
    """Raised when a text does not have the NVLink 5 shape; NVSentinel then falls back to CONTACT_SUPPORT."""


def branch(version: str) -> int | None:
    """The driver's major version: 580 for "580.82.07"; None when there is none."""
    major = version.partition(".")[0]
    return int(major) if re.fullmatch(r"[0-9]{1,6}", major) else None


def bucket(text: str, *, driver: int | None) -> str | None:
    """The action of the first rule that matches `text` (which begins with the number); None when no rule does.

    `driver` is the driver's major version (580); None: unknown. Raises NotNvlink5.
    """
    found = _LINE.match(text)
    if found is None:
        raise NotNvlink5(f"not an NVLink 5 line: {text!r}")
    xid, info, status = int(found[1]), int(found[7], 16), found[8].lower()
    column = "intrinfo_r575" if (driver or 0) >= FIRST_R575 else "intrinfo_pre_r575"
    for rule in _rules():
        wanted = rule["error_status"].lower()  # compared as text, as NVSentinel does; may hold several values
        status_matches = not wanted or status in wanted.split("/")
        if int(rule["xid"]) == xid and status_matches and _bits_match(rule[column], info):
            return rule["action"]
    return None


@cache
def _rules() -> tuple[dict[str, str], ...]:
    with (
        resources.files("offbus_agent.catalogue")
        .joinpath("data/xid_nvlink5_decode.csv")
        .open(encoding="utf-8") as file
    ):
        return tuple(csv.DictReader(file))


def unit(text: str) -> str:
    """The hardware unit that a line names, such as RLW_RXPIPE; "" for a text of another shape."""
    found = _LINE.match(text)
    return found[2] if found is not None else ""


def _bits_match(pattern: str, word: int) -> bool:
    bits = f"{word:0{len(pattern)}b}"
    return all(want in ("-", have) for want, have in zip(pattern, bits[-len(pattern) :], strict=True))
