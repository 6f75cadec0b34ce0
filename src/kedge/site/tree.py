"""Reads YAML into a tree that knows its lines, and refuses what would surprise or exhaust the reader.

It takes PyYAML's events, not its objects: no tags, no recursion, a bound on size, depth and on what
aliases expand to, no duplicate keys, and the scalars of YAML 1.2 (``on``, ``yes`` and
``52:54:00:77:00:01`` are texts; only ``true`` and ``false`` are booleans).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from kedge.core.kinds import Value
from kedge.lib.errors import KedgeError
from kedge.site.problems import Place, Problems, shorten

MOST_CHARACTERS = 32_000_000
MOST_NODES = 2_000_000
MOST_ALIASED = 50_000
MOST_DEPTH = 32

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_BOOLEAN = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]{1,30}|[0-9]{1,30}\.[0-9]{0,30})([eE][-+]?[0-9]{1,3})?")


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value; ``raw`` is how it is written (``2026.10`` stays ``2026.10``)."""

    value: bool | int | float | str | None
    raw: str
    place: Place


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    items: tuple[Tree, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping; ``keys`` holds the place of every key."""

    entries: dict[str, Tree]
    keys: dict[str, Place]
    place: Place


Tree = Scalar | Items | Table


def plain(tree: Tree) -> Value:
    """The tree as ordinary values."""
    if isinstance(tree, Scalar):
        return tree.value
    if isinstance(tree, Items):
        return [plain(item) for item in tree.items]
    return {key: plain(value) for key, value in tree.entries.items()}


def read_yaml(text: str, file: str, problems: Problems) -> Tree | None:
    """The one document in ``text``, or None when it is empty; raises `KedgeError`.

    Duplicate keys are noted in ``problems`` and do not end the reading.
    """
    if len(text) > MOST_CHARACTERS:
        raise _refusal(
            "too_large", file, 0, f"the file is longer than {MOST_CHARACTERS} characters"
        )
    try:
        text.encode()
        return _Builder(iter(yaml.parse(text, Loader=_LOADER)), file, problems).document()  # pyright: ignore[reportUnknownMemberType]
    except UnicodeEncodeError as error:
        raise _refusal("bad_yaml", file, 0, "the file is not valid text") from error
    except yaml.YAMLError as error:
        mark: Any = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        raise KedgeError(
            "site.bad_yaml",
            "this is not YAML",
            where=str(Place(file, mark.line + 1 if mark else 0)),
            why=_why(error),
            next_step="Check the indentation, the quotes and the colons around this line",
        ) from error


def _why(error: yaml.YAMLError) -> str:
    """The parser's own words: what is wrong, and where the thing began that it is wrong with."""
    context, began = getattr(error, "context", None), getattr(error, "context_mark", None)
    words = [str(getattr(error, "problem", None) or "it holds a forbidden character")]
    if context:
        words.append(f"{context} that begins in line {began.line + 1}" if began else str(context))
    return shorten(" ".join(words))


def _refusal(code: str, file: str, line: int, what: str, next_step: str = "") -> KedgeError:
    return KedgeError(f"site.{code}", what, where=str(Place(file, line)), next_step=next_step)


class _Builder:
    """Turns a stream of YAML events into one `Tree`."""

    def __init__(self, events: Iterator[Any], file: str, problems: Problems) -> None:
        self.events = events
        self.file = file
        self.problems = problems
        self.anchors: dict[str, tuple[Tree, int, int]] = {}
        self.built = 0
        self.aliased = 0
        self.deepest = 0

    def document(self) -> Tree | None:
        tree: Tree | None = None
        begun = False
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                if begun:
                    raise self.refuse(
                        event,
                        "many_documents",
                        "the file holds more than one YAML document",
                        "Remove the line '---', or make it two files",
                    )
                begun = True
                tree = self.build(next(self.events), 1)
        if isinstance(tree, Scalar) and tree.value is None:
            return None
        return tree

    def refuse(self, event: Any, code: str, what: str, next_step: str = "") -> KedgeError:
        return _refusal(code, self.file, event.start_mark.line + 1, what, next_step)

    def build(self, event: Any, depth: int) -> Tree:
        self.built += 1
        self.deepest = max(self.deepest, depth)
        if self.built > MOST_NODES:
            raise self.refuse(event, "too_large", f"the file holds more than {MOST_NODES} values")
        if depth > MOST_DEPTH:
            raise self.refuse(event, "too_deep", f"nested deeper than {MOST_DEPTH} levels")
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, depth)
        if getattr(event, "tag", None):
            raise self.refuse(event, "tag", f"YAML tags are not read: {event.tag}", "Remove it")
        before, outer = self.built + self.aliased, self.deepest
        self.deepest = depth
        if isinstance(event, yaml.MappingStartEvent):
            tree: Tree = self.table(event, depth)
        elif isinstance(event, yaml.SequenceStartEvent):
            tree = self.items(event, depth)
        else:
            tree = self.scalar(event)
        if event.anchor:
            size = self.built + self.aliased - before + 1
            self.anchors[event.anchor] = (tree, size, self.deepest - depth)
        self.deepest = max(outer, self.deepest)
        return tree

    def alias(self, event: Any, depth: int) -> Tree:
        known = self.anchors.get(event.anchor)
        if known is None:
            what = f"*{event.anchor} stands for nothing above it"
            raise self.refuse(event, "unknown_alias", what, "Use profiles with extends instead")
        tree, size, below = known
        self.aliased += size
        self.deepest = max(self.deepest, depth + below)
        if self.aliased > MOST_ALIASED or self.deepest > MOST_DEPTH:
            raise self.refuse(
                event,
                "too_large",
                f"the aliases of this file expand to more than {MOST_ALIASED} values",
                "Use profiles with extends instead of YAML aliases",
            )
        return tree

    def table(self, start: Any, depth: int) -> Table:
        entries: dict[str, Tree] = {}
        keys: dict[str, Place] = {}
        for event in self.events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            if not isinstance(event, yaml.ScalarEvent):
                raise self.refuse(event, "bad_key", "a key must be a plain text")
            key, place = str(event.value), self.place(event)
            value = self.build(next(self.events), depth + 1)
            if key in entries:
                self.problems.refuse(
                    "duplicate_key",
                    place,
                    f"{shorten(key, 80)!r} is given twice, first in line {keys[key].line}",
                    next_step="Remove one",
                )
            else:
                entries[key], keys[key] = value, place
        return Table(entries, keys, self.place(start))

    def items(self, start: Any, depth: int) -> Items:
        found: list[Tree] = []
        for event in self.events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            found.append(self.build(event, depth + 1))
        return Items(tuple(found), self.place(start))

    def scalar(self, event: Any) -> Scalar:
        raw = str(event.value)
        return Scalar(_resolve(raw) if event.implicit[0] else raw, raw, self.place(event))

    def place(self, event: Any) -> Place:
        return Place(self.file, event.start_mark.line + 1)


def _resolve(raw: str) -> bool | int | float | str | None:
    """What an unquoted scalar means in YAML 1.2's core schema."""
    if raw in _NULL:
        return None
    if raw in _BOOLEAN:
        return _BOOLEAN[raw]
    if _INTEGER.fullmatch(raw):
        return int(raw)
    if _FLOAT.fullmatch(raw):
        return float(raw)
    return raw
