"""Values as they are typed: ``power.state=on`` is text, brackets are YAML, as in a site's files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import click

from kedge.lib.errors import KedgeError

_INTEGER = re.compile(r"-?[0-9]{1,15}")


def parse_values(words: Iterable[str]) -> dict[str, Any]:
    """``VARIABLE=VALUE`` words as a mapping; raises ``click.UsageError``."""
    values: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise click.UsageError(f"{word!r} is not like VARIABLE=VALUE")
        if not text:
            raise click.UsageError(
                f"{word!r} has no value (to take one back: kedge node unset NODESET {name})"
            )
        if name in values:
            raise click.UsageError(f"{name} is given twice")
        values[name] = parse_value(text, name)
    return values


def parse_value(text: str, name: str = "") -> Any:
    """One value: true, false, a whole number, YAML in brackets or quotes; else the text itself."""
    if text in ("true", "false"):
        return text == "true"
    if _INTEGER.fullmatch(text):
        return int(text)
    if text[:1] not in ("[", "{", '"', "'"):
        return text
    from kedge.site.problems import Problems
    from kedge.site.tree import plain, read_yaml

    problems = Problems()
    tree = read_yaml(text, name, problems)
    return plain(tree) if tree is not None else text


def parse_secret_lines(text: str) -> dict[str, str]:
    """``key: value`` lines; a value is everything behind the first colon, without outer blanks.

    Not YAML: a password may hold any character. Raises `KedgeError` that repeats nothing.
    """
    entry: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, colon, value = line.partition(":")
        if not colon or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,62}", key.strip()):
            raise KedgeError(
                "secret.stdin", "is not like 'key: value'", where=f"standard input:{number}"
            )
        entry[key.strip()] = value.strip()
    return entry
