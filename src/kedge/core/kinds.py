"""The kinds of value a variable may hold, each of which checks a value and says what is valid.

Values are what JSON can say: text, integers, booleans, lists and mappings. ``check`` returns the
value in its one canonical form, or raises `ValueProblem`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

Value = None | bool | int | float | str | list["Value"] | dict[str, "Value"]


class ValueProblem(ValueError):
    """A value that its kind refuses: ``what`` is wrong, what is ``valid``, and the ``key`` within."""

    def __init__(self, what: str, valid: str, key: str = "") -> None:
        super().__init__(f"{key}: {what}" if key else what)
        self.what = what
        self.valid = valid
        self.key = key


class Kind(Protocol):
    """What every kind can do."""

    def check(self, value: object) -> Value:
        """The canonical form of ``value``; raises `ValueProblem`."""
        ...

    def describe(self) -> str:
        """The valid values, in words for an error or a help text."""
        ...


@dataclass(frozen=True, slots=True)
class Enum:
    """One of a few symbols. The only kind whose values the planner sees as they are."""

    values: tuple[str, ...]

    def check(self, value: object) -> Value:
        if isinstance(value, str) and value in self.values:
            return value
        raise ValueProblem(f"{value!r} is not a valid value", self.describe())

    def describe(self) -> str:
        return "one of " + ", ".join(self.values)


@dataclass(frozen=True, slots=True)
class Text:
    """A line of text, matched whole against ``pattern`` where there is one."""

    pattern: str = ""
    example: str = ""
    max_length: int = 4096

    def check(self, value: object) -> Value:
        if not isinstance(value, str) or len(value) > self.max_length:
            raise ValueProblem(f"{value!r} is not a text", self.describe())
        if self.pattern and not re.fullmatch(self.pattern, value):
            raise ValueProblem(f"{value!r} does not have the right form", self.describe())
        return value

    def describe(self) -> str:
        return f"a text like {self.example}" if self.example else "a text"


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number between ``least`` and ``most``, both included."""

    least: int = 0
    most: int = 2**53

    def check(self, value: object) -> Value:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueProblem(f"{value!r} is not a whole number", self.describe())
        if not self.least <= value <= self.most:
            raise ValueProblem(f"{value} is out of range", self.describe())
        return value

    def describe(self) -> str:
        return f"a whole number from {self.least} to {self.most}"


@dataclass(frozen=True, slots=True)
class Boolean:
    """``true`` or ``false``."""

    def check(self, value: object) -> Value:
        if isinstance(value, bool):
            return value
        raise ValueProblem(f"{value!r} is neither true nor false", self.describe())

    def describe(self) -> str:
        return "true or false"


@dataclass(frozen=True, slots=True)
class Address:
    """An IPv4 or IPv6 address."""

    def check(self, value: object) -> Value:
        try:
            return str(ipaddress.ip_address(value if isinstance(value, str) else ""))
        except ValueError:
            raise ValueProblem(f"{value!r} is not an IP address", self.describe()) from None

    def describe(self) -> str:
        return "an IP address like 10.77.1.7"


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list whose items are all of one kind."""

    item: Kind
    most: int = 1000

    def check(self, value: object) -> Value:
        if not isinstance(value, list) or len(value) > self.most:  # pyright: ignore[reportUnknownArgumentType]
            raise ValueProblem("is not a list", self.describe())
        items: list[object] = value  # pyright: ignore[reportUnknownVariableType]
        return [self.item.check(item) for item in items]

    def describe(self) -> str:
        return f"a list, each item {self.item.describe()}"


@dataclass(frozen=True, slots=True)
class Struct:
    """A mapping with known keys; those in ``required`` must be there, ``defaults`` fill the rest."""

    fields: Mapping[str, Kind]
    required: frozenset[str] = frozenset()
    defaults: Mapping[str, Value] = field(default_factory=dict[str, Value])

    def check(self, value: object) -> Value:
        if not isinstance(value, dict):
            raise ValueProblem(f"{value!r} is not a mapping", self.describe())
        given: dict[object, object] = value  # pyright: ignore[reportUnknownVariableType]
        for key in given:
            if key not in self.fields:
                raise ValueProblem(f"unknown key {key!r}", self.describe(), str(key))
        for key in sorted(self.required - set(map(str, given))):
            raise ValueProblem(f"key {key!r} is missing", self.describe(), key)
        checked: dict[str, Value] = dict(self.defaults)
        for key, item in given.items():
            name = str(key)
            try:
                checked[name] = self.fields[name].check(item)
            except ValueProblem as problem:
                inner = f"{name}.{problem.key}" if problem.key else name
                raise ValueProblem(problem.what, problem.valid, inner) from None
        return checked

    def describe(self) -> str:
        return "a mapping with the keys " + ", ".join(self.fields)


@dataclass(frozen=True, slots=True)
class Anything:
    """Any value at all, for facts that no one configures."""

    def check(self, value: object) -> Value:
        return value  # pyright: ignore[reportReturnType]

    def describe(self) -> str:
        return "any value"
