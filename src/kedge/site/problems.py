"""Collects everything that is wrong with a site, so that one run of ``kedge diff`` names it all.

A fault that many nodes share (a pattern that leaves its network) becomes one error with a nodeset.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from kedge.lib import nodeset
from kedge.lib.errors import KedgeError, KedgeErrors

MOST_ERRORS = 200
MOST_SEARCHES = 50
MOST_CANDIDATES = 2_000


def shorten(text: str, most: int = 200) -> str:
    """``text`` in at most ``most`` characters, for an error on one line."""
    return text if len(text) <= most else text[: most - 3] + "..."


def listed(names: Iterable[str], most: int = 20) -> str:
    """Valid names in words, cut off where a reader would stop reading."""
    every = sorted(names)
    if len(every) <= most:
        return ", ".join(every)
    return ", ".join(every[:most]) + f" and {len(every) - most} more"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A line of one of the site's files; line 0 means the file as a whole."""

    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(slots=True)
class _Shared:
    place: Place
    error: KedgeError
    nodes: list[str]


@dataclass(slots=True)
class Problems:
    """The errors found so far; `raise_any` ends the reading when there are some."""

    errors: list[tuple[Place, KedgeError]] = field(default_factory=list[tuple[Place, KedgeError]])
    _shared: dict[tuple[str, Place], _Shared] = field(
        default_factory=dict[tuple[str, Place], _Shared]
    )
    _searches: int = 0
    _count: int = 0

    def __bool__(self) -> bool:
        return bool(self.errors or self._shared)

    def refuse(
        self, code: str, place: Place, what: str, *, why: str = "", next_step: str = ""
    ) -> None:
        """Note one error (``code`` without the leading ``site.``)."""
        self._count += 1
        if self._count <= MOST_ERRORS:
            self.errors.append((place, _error(code, place, what, why, next_step)))

    def refuse_node(
        self, code: str, place: Place, node: str, what: str, *, why: str = "", next_step: str = ""
    ) -> None:
        """Note an error of one node; others with the same code and line are folded into it."""
        shared = self._shared.get((code, place))
        if shared is None:
            error = _error(code, place, what, why, next_step)
            self._shared[code, place] = _Shared(place, error, [node])
        else:
            shared.nodes.append(node)

    def add(self, error: KedgeError, place: Place) -> None:
        """Note an error that another part raised."""
        self._count += 1
        if self._count <= MOST_ERRORS:
            self.errors.append((place, error))

    def unknown(
        self,
        code: str,
        place: Place,
        noun: str,
        name: str,
        valid: Iterable[str],
        *,
        next_step: str = "",
    ) -> None:
        """Refuse ``name``, naming the nearest valid one and all valid ones."""
        names = list(valid)
        near = self.nearest(name, names)
        hint = f"Did you mean {near}? " if near else ""
        if not next_step:
            next_step = f"Valid: {listed(names)}" if names else f"There is no {noun} yet"
        self.refuse(
            code, place, f"unknown {noun} {shorten(name, 80)!r}", next_step=hint + next_step
        )

    def nearest(self, name: str, valid: list[str]) -> str:
        """The valid name most like ``name``, or an empty text."""
        self._searches += 1
        if self._searches > MOST_SEARCHES or len(name) > 100:
            return ""
        stem, number = _stem(name)
        if number >= 0 and stem:
            for candidate in valid:
                if candidate != name and _stem(candidate) == (stem, number):
                    return candidate
        close = difflib.get_close_matches(name, valid[:MOST_CANDIDATES], 1)
        return close[0] if close else ""

    def raise_any(self) -> None:
        """Raise `KedgeErrors` with everything noted, in order of file and line."""
        found = [*self.errors]
        for shared in self._shared.values():
            error = shared.error
            if len(shared.nodes) > 1:
                what = f"{error.what} (and the same for {nodeset.fold(shared.nodes[1:])})"
                error = KedgeError(
                    error.code, what, where=error.where, why=error.why, next_step=error.next_step
                )
            found.append((shared.place, error))
        if not found:
            return
        found.sort(key=lambda item: (item[0], item[1].code, item[1].what))
        errors = [error for _, error in found[:MOST_ERRORS]]
        if self._count > MOST_ERRORS:
            errors.append(
                KedgeError(
                    "site.too_many_errors",
                    f"{self._count - MOST_ERRORS} more errors are not shown",
                    next_step="Mend the ones above and try again",
                )
            )
        raise KedgeErrors(errors)


def _stem(name: str) -> tuple[str, int]:
    match = re.fullmatch(r"([^0-9]*)([0-9]{1,9})", name)
    return (match[1], int(match[2])) if match else (name, -1)


def _error(code: str, place: Place, what: str, why: str, next_step: str) -> KedgeError:
    return KedgeError(
        f"site.{code}", shorten(what, 400), where=str(place), why=why, next_step=next_step
    )
