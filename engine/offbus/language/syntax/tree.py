"""From YAML events to a tree of nodes that know their positions.

One pass, no recursion, no constructors. Findings are collected and building continues; only what is nested too deeply
or contains itself raises `Stop`. Errors of the YAML parser pass through.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NoReturn

import yaml

from offbus.findings.codes import Code
from offbus.findings.model import MOST, Edit, Finding, TooManyFindings
from offbus.language.syntax import braces, scalars
from offbus.language.syntax.node import Node, span

__all__ = ["DEEPEST", "MOST_ALIASED", "MOST_ITEMS", "MOST_VALUES", "Builder", "Stop"]

DEEPEST = 64
"""Levels of nesting; a scenario needs about six."""
MOST_VALUES = 160_000
"""Nodes; a generated scenario of 10,000 steps has about as many. They take 80 MiB and half a second."""
MOST_ITEMS = 20_000
"""Keys of a mapping, or items of a list: a model that refuses each of them makes an error of each."""
MOST_ALIASED = 10_000
"""Nodes that aliases may add in all; a "billion laughs" has more."""
ON = "on"
"""A key that YAML 1.1 reads as true. As a key it is text here, as in workflows of CI: no key can be a boolean, and
`retry` has one that is spelt so. As a value it stays a finding, and so do the other words, also as keys."""

_NO_TAGS = (None, "!")


class Stop(Exception):
    """Raised when building cannot go on; the finding is noted."""


class Builder:
    """Builds the tree of one document. `substitutions` maps the index of a fixed text to what was there."""

    def __init__(self, file: str, lines: tuple[str, ...], substitutions: Mapping[int, str]) -> None:
        self.findings: list[Finding] = []
        self._file, self._lines, self._substitutions = file, lines, substitutions
        self._anchors: dict[str, Node] = {}
        self._aliased = 0
        self._resolved: dict[str, scalars.Scalar | scalars.Ambiguous] = {}

    def build(self, get_event: Callable[[], Any]) -> Node | None:
        """The root node, None for an empty document. Raises Stop, and the parser's errors."""
        stack: list[Node] = []
        root: Node | None = None
        values = 0
        while True:
            event = get_event()
            kind = type(event)
            if kind is yaml.ScalarEvent:
                node = self._scalar(event, stack)
            elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
                node = self._collection(event, kind is yaml.MappingStartEvent, len(stack))
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                self._close(stack, event)
                continue
            elif kind is yaml.AliasEvent:
                node = self._alias(event)
            elif kind is yaml.StreamEndEvent:
                return root
            elif kind is yaml.DocumentStartEvent and root is not None:
                self._second_document(event)
                return root
            else:
                continue
            if stack:
                self._put(stack[-1], node)
                if len(stack[-1].children) > MOST_ITEMS:
                    self._too_many(f"this collection has more than {MOST_ITEMS} items", stack[-1])
            else:
                root = node
            if not node.closed:
                stack.append(node)
            values += 1
            if values > MOST_VALUES:
                self._note(
                    Code.TOO_LARGE,
                    f"the file has more than {MOST_VALUES} values, which no scenario needs",
                    node,
                )
                raise Stop

    def _too_many(self, message: str, node: Node) -> NoReturn:
        self._note(Code.TOO_LARGE, f"{message}, which no scenario needs", node)
        raise Stop

    def _scalar(self, event: Any, stack: Sequence[Node]) -> Node:
        text, style, start = (
            event.value,
            event.style or None,
            event.start_mark,
        )  # the C parser says "" for plain
        if style is None and start.index in self._substitutions:
            text, style = self._substitutions[start.index], "substituted"
        node = Node("scalar", start, event.end_mark, text, style)
        if style is None:
            self._plain(node, text, stack)
        if braces.OPEN in text:
            node.templated = True
        if event.tag is not None or event.anchor is not None:
            self._properties(node, event)
        return node

    def _plain(self, node: Node, text: str, stack: Sequence[Node]) -> None:
        try:
            value = self._resolved[text]
        except KeyError:
            value = self._resolved[text] = scalars.resolve(text)
        if text == ON and stack and stack[-1].kind == "mapping" and stack[-1].pending is None:
            node.value = text
        elif isinstance(value, scalars.Ambiguous):
            self._note(value.code, value.why, node, value.hint)
        else:
            node.value = value

    def _collection(self, event: Any, mapping: bool, depth: int) -> Node:
        value: dict[str, Any] | list[Any] = {} if mapping else []
        kind: Literal["mapping", "sequence"] = "mapping" if mapping else "sequence"
        node = Node(kind, event.start_mark, event.end_mark, value, None, {}, {}, closed=False)
        if event.tag is not None or event.anchor is not None:
            self._properties(node, event)
        if depth >= DEEPEST:
            self._note(Code.TOO_DEEP, f"nested more than {DEEPEST} levels deep", node)
            raise Stop
        return node

    def _properties(self, node: Node, event: Any) -> None:
        """Tags are refused; an anchor is remembered."""
        if event.tag not in _NO_TAGS:
            self._note(
                Code.YAML_TAG,
                f"the YAML tag {event.tag.replace('tag:yaml.org,2002:', '!!')} is not allowed",
                node,
                "leave it out; quote what is text",
            )
        if event.anchor is not None:
            self._anchors[event.anchor] = node

    def _alias(self, event: Any) -> Node:
        """The anchored node itself: positions in it are those of the anchor."""
        node = self._anchors.get(event.anchor)
        here = Node("scalar", event.start_mark, event.end_mark, None)
        if node is None:
            self._note(
                Code.NOT_YAML,
                f"the alias *{event.anchor} has no anchor above it",
                here,
                "a text that begins with * must be quoted",
            )
            return here
        if not node.closed:
            self._note(
                Code.ENDLESS_ALIAS, f"the alias *{event.anchor} is inside the value that it stands for", here
            )
            raise Stop
        self._aliased += node.size
        if self._aliased > MOST_ALIASED:
            self._note(
                Code.ENDLESS_ALIAS,
                f"aliases add more than {MOST_ALIASED} values in all",
                here,
                "write the values out, or fewer of them",
            )
            raise Stop
        return node

    def _put(self, parent: Node, node: Node) -> None:
        """Into its parent: the next item, the next key, or the waiting key's value."""
        if parent.kind == "sequence":
            parent.children[len(parent.children)] = node
            parent.value.append(node.value)
        elif parent.pending is None:
            parent.pending = (self._key(parent, node), node)
            return
        else:
            name, key = parent.pending
            parent.pending = None
            if key.spoiled and name not in parent.value:
                node.spoiled = True
            elif not key.spoiled:
                parent.keys[name] = key
                parent.children[name] = node
                parent.value[name] = node.value
        if node.closed:
            self._count(parent, node)

    def _key(self, parent: Node, node: Node) -> str:
        """The name of a key; the node is spoiled if it cannot be one."""
        name = node.value
        if not isinstance(name, str):
            found = (
                "empty"
                if name is None
                else f"a {'list' if node.kind == 'sequence' else node.kind}"
                if node.kind != "scalar"
                else str(name)
            )
            message = f"a key must be text, and this one is {found}"
            self._note(Code.KEY_NOT_TEXT, message, node, "quote it", self._quoted(node))
        elif name == "<<" and node.style is None:
            parent.spoiled = True  # what it lacks would have come from there
            self._note(
                Code.MERGE_KEY,
                "merge keys (<<) are not allowed",
                node,
                "write the keys out, or use *alias for the whole value",
            )
        elif name in parent.keys:
            first = parent.keys[name].start.line + 1
            self._note(
                Code.REPEATED_KEY,
                f"the key {name!r} occurs twice here, first on line {first}",
                node,
                "remove one of them",
            )
        else:
            return name
        node.spoiled = True
        return str(name)

    def _quoted(self, node: Node) -> Edit | None:
        """The edit that makes a number or a boolean the text that it looks like."""
        where = span(self._file, node)
        text = self._lines[where.line - 1][where.column - 1 : where.end_column - 1]
        is_plain = node.style is None and isinstance(node.value, int | float) and text[:1] not in ("&", "!")
        return Edit(where, f'"{text}"') if is_plain else None

    def _close(self, stack: list[Node], event: Any) -> None:
        node = stack.pop()
        node.closed, node.end = True, event.end_mark
        if stack:
            self._count(stack[-1], node)

    def _count(self, parent: Node, node: Node) -> None:
        parent.size += node.size
        if node.templated:
            parent.templated = True

    def _second_document(self, event: Any) -> None:
        here = Node("scalar", event.start_mark, event.end_mark, None)
        self._note(
            Code.SEVERAL_DOCUMENTS,
            "a second document begins here; a scenario file holds one",
            here,
            "put it into a file of its own",
        )

    def _note(
        self, code: Code, message: str, node: Node, hint: str | None = None, fix: Edit | None = None
    ) -> None:
        if len(self.findings) >= MOST:
            raise TooManyFindings
        node.spoiled = True
        where = span(self._file, node)
        frame = self._lines[where.line - 1] if where.line <= len(self._lines) else ""
        self.findings.append(
            Finding(code=code, message=message, where=where, hint=hint, frame=frame, fix=fix)
        )
