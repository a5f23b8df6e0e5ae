"""Types to and from the CEL library, which is not imported here.

The only module that reads cel-expr-python's notation of types, `LIST<STRING>`: its `Type` tells its name, but not what
it is made of (decision 0014). When the notation changes, an expression's type is not what its field wants, and
scenarios that were right are refused when they are loaded (OB403, OB407).
"""

import re
from typing import Any

from offbus.language.cel import types
from offbus.language.cel.types import CelType

__all__ = ["type_for", "type_from"]


def type_for(cel_type: Any, of: CelType) -> Any:
    """A type in the library's terms; `cel_type` is its class `Type`."""
    if of.name == "list":
        return cel_type.List(type_for(cel_type, of.of[0]))
    if of.name == "map":
        return cel_type.Map(type_for(cel_type, of.of[0]), type_for(cel_type, of.of[1]))
    return getattr(cel_type, of.name.upper())


_WELL_KNOWN = {"google.protobuf.duration": "duration", "google.protobuf.timestamp": "timestamp"}
_SIGNATURE = re.compile(r"([A-Za-z_.]+)|([<>,])")


def type_from(returned: Any) -> CelType:
    """From the library's notation: "LIST<STRING>"; what we have no name for is dyn."""
    stack: list[list[CelType]] = [[]]
    for word, mark in _SIGNATURE.findall(str(returned)):
        if word:
            stack[-1].append(CelType(_WELL_KNOWN.get(word.lower(), word.lower())))
        elif mark == "<":
            stack.append([])
        elif mark == ">":
            inner = tuple(stack.pop())
            stack[-1][-1] = CelType(stack[-1][-1].name, inner)
    return stack[0][0] if stack[0] else types.DYN
