"""Pydantic's words as the end of a sentence of ours.

The only module that reads pydantic's English (decision 0014). Its error types are promised to stay, its texts are not;
but the values that are allowed are only in a text. It reads "Input should", "Value error, ", "Assertion failed, ",
and the quoted values in an error's `expected`. When the wording changes, findings stay what and where they are, in
clumsier words and perhaps without a suggestion.
"""

import re

from pydantic_core import ErrorDetails

__all__ = ["allowed", "said"]


def said(error: ErrorDetails) -> str:
    """Pydantic's own words, or a validator's, as the end of a sentence."""
    words = error["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    words = words.replace("Input should", "it must").replace("should", "must")
    return words if words[:2].isupper() else words[:1].lower() + words[1:]  # an abbreviation stays as it is


def allowed(error: ErrorDetails) -> list[str]:
    """The values of an enum or literal that would have been right."""
    expected = str(error["ctx"]["expected"])
    return re.findall(r"'([^']*)'", expected) or [expected]
