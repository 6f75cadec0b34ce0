"""Patterns: ``10.77.{rack}.{number+10}``, so that ten lines describe a thousand nodes.

Between the braces stand a name, whole numbers, ``+ - * // %`` and parentheses, and after a colon
the number of digits (``{number:03}``). ``{{`` and ``}}`` are plain braces. A pattern is parsed once
and expanded for every node.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from kedge.core.kinds import Value

NODE_NAMES: tuple[str, ...] = ("name", "number", "index", "group", "cluster", "domain")
"""What every node's patterns may use beside the site's own ``vars``."""

Names = Mapping[str, Value]
Compute = Callable[[Names], Value]

_PARTS = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_TOKENS = re.compile(r"\s*(?:([0-9]{1,9})(?![0-9A-Za-z_])|([A-Za-z_]\w{0,62})|(//|[-+*%()])|(\S))")
_MOST_LETTERS = 200
_MOST_VALUE = 10**18


class PatternProblem(ValueError):
    """A pattern that cannot be read or expanded, in words for an operator."""


@dataclass(frozen=True, slots=True)
class Expression:
    """What stands between two braces."""

    source: str
    names: frozenset[str]
    compute: Compute
    digits: int = 0

    def value(self, names: Names) -> Value:
        """Its value for one node."""
        found = self.compute(names)
        if self.digits:
            return f"{_whole(found, self.source):0{self.digits}d}"
        return found


@dataclass(frozen=True, slots=True)
class Pattern:
    """A text with expressions. One that is a single expression may keep its number (``as_text``)."""

    source: str
    parts: tuple[str | Expression, ...]
    as_text: bool = True

    @property
    def names(self) -> frozenset[str]:
        """Every name that it uses."""
        found: set[str] = set()
        return frozenset(found.union(*(p.names for p in self.parts if isinstance(p, Expression))))

    def expand(self, names: Names) -> Value:
        """The value for one node; raises `PatternProblem`."""
        if not self.as_text and len(self.parts) == 1 and isinstance(self.parts[0], Expression):
            return self.parts[0].value(names)
        return "".join(
            part if isinstance(part, str) else _text(part.value(names), part.source)
            for part in self.parts
        )


Template = bool | int | float | str | Pattern | list["Template"] | dict[str, "Template"] | None
"""A value in which texts may be patterns."""


def compile_text(text: str, *, as_text: bool = True) -> str | Pattern:
    """``text`` as it is when it has no braces, else its pattern; raises `PatternProblem`."""
    if "{" not in text and "}" not in text:
        return text
    parts: list[str | Expression] = []
    end = 0
    for match in _PARTS.finditer(text):
        parts.append(text[end : match.start()])
        end = match.end()
        if match[0] in ("{{", "}}"):
            parts.append(match[0][0])
        elif match[1] is None:
            raise PatternProblem(f"a single {match[0]} in {text!r}; write it twice for a plain one")
        else:
            parts.append(_Parser(match[1]).expression())
    parts.append(text[end:])
    kept = tuple(part for part in parts if part != "")
    if all(isinstance(part, str) for part in kept):
        return "".join(part for part in kept if isinstance(part, str))
    return Pattern(text, kept, as_text)


def is_fixed(template: Template) -> bool:
    """Whether it is the same for all nodes."""
    if isinstance(template, Pattern):
        return False
    if isinstance(template, list):
        return all(is_fixed(item) for item in template)
    if isinstance(template, dict):
        return all(is_fixed(item) for item in template.values())
    return True


def names_in(template: Template) -> frozenset[str]:
    """Every name that its patterns use."""
    if isinstance(template, Pattern):
        return template.names
    items: Iterable[Template] = ()
    if isinstance(template, list):
        items = template
    elif isinstance(template, dict):
        items = template.values()
    found: set[str] = set()
    return frozenset(found.union(*map(names_in, items)))


def expand(template: Template, names: Names) -> Value:
    """The value for one node; raises `PatternProblem`."""
    if isinstance(template, Pattern):
        return template.expand(names)
    if isinstance(template, list):
        return [expand(item, names) for item in template]
    if isinstance(template, dict):
        return {key: expand(item, names) for key, item in template.items()}
    return template


def number_of(node: str) -> int | None:
    """The last number in a node's name (``r2n007`` -> 7), or None."""
    found = re.findall(r"[0-9]{1,18}", node)
    return int(found[-1]) if found else None


def _text(value: Value, source: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, str, float)):
        return str(value)
    raise PatternProblem(f"{{{source}}} is not a text or a number")


def _whole(value: Value, source: str) -> int:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise PatternProblem(f"{{{source}}} counts with {value!r}, which is not a whole number")
    if abs(value) > _MOST_VALUE:
        raise PatternProblem(f"{{{source}}} becomes too large")
    return value


class _Parser:
    """Reads one expression by recursive descent; its length bounds its depth."""

    def __init__(self, source: str) -> None:
        self.source = source
        text, _, digits = source.partition(":")
        if len(source) > _MOST_LETTERS or not text.strip():
            raise PatternProblem(f"{{{source[:40]}}} is empty or too long")
        if digits and not re.fullmatch(r"0[1-9]d?", digits):
            raise PatternProblem(f"{{{source}}}: after the colon stands a width like 03")
        self.digits = int(digits.rstrip("d") or "0")
        self.tokens = list(_TOKENS.finditer(text))
        self.at = 0
        self.names: set[str] = set()

    def expression(self) -> Expression:
        compute = self.sum()
        if self.at < len(self.tokens):
            raise self.wrong()
        return Expression(self.source, frozenset(self.names), compute, self.digits)

    def wrong(self) -> PatternProblem:
        return PatternProblem(
            f"{{{self.source}}} is not a pattern: write a name, numbers and + - * // % ( )"
        )

    def take(self, *operators: str) -> str:
        """The next token if it is one of these operators, else an empty text."""
        token = self.tokens[self.at] if self.at < len(self.tokens) else None
        if token is not None and token[3] in operators:
            self.at += 1
            return token[3]
        return ""

    def sum(self) -> Compute:
        left = self.product()
        while sign := self.take("+", "-"):
            left = self.join(sign, left, self.product())
        return left

    def product(self) -> Compute:
        left = self.factor()
        while sign := self.take("*", "//", "%"):
            left = self.join(sign, left, self.factor())
        return left

    def factor(self) -> Compute:
        if self.take("("):
            inner = self.sum()
            if not self.take(")"):
                raise self.wrong()
            return inner
        token = self.tokens[self.at] if self.at < len(self.tokens) else None
        if token is None or not (token[1] or token[2]):
            raise self.wrong()
        self.at += 1
        if token[1]:
            number = int(token[1])
            return lambda names: number
        name = token[2]
        self.names.add(name)
        return lambda names: names[name]

    def join(self, sign: str, left: Compute, right: Compute) -> Compute:
        source = self.source

        def compute(names: Names) -> Value:
            a, b = _whole(left(names), source), _whole(right(names), source)
            if sign == "+":
                return a + b
            if sign == "-":
                return a - b
            if sign == "*":
                return _whole(a * b, source)
            if b == 0:
                raise PatternProblem(f"{{{source}}} divides by zero")
            return a // b if sign == "//" else a % b

        return compute
