"""Reads a YAML file piece by piece and collects every error with file, line and remedy."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Iterable

import yaml

from kedge.lib.errors import KedgeError


class Reader:
    """Walks the YAML nodes of one file, collecting every error with its line."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.errors: list[KedgeError] = []

    def refuse(self, node: yaml.Node, code: str, what: str, next_step: str = "") -> None:
        """Note one error at the line of ``node``."""
        where = f"{self.source}:{node.start_mark.line + 1}"
        self.errors.append(KedgeError(f"lab.{code}", what, where=where, next_step=next_step))

    def mapping(
        self, node: yaml.Node, path: str, keys: Iterable[str] | None
    ) -> dict[str, yaml.Node]:
        """The entries of a mapping whose keys must be among ``keys`` (None: any)."""
        if not isinstance(node, yaml.MappingNode):
            self.refuse(node, "not_a_mapping", f"{path or 'the file'} must be a mapping")
            return {}
        found: dict[str, yaml.Node] = {}
        valid = None if keys is None else list(keys)
        for key_node, value in node.value:
            key = str(key_node.value)
            full = f"{path}.{key}" if path else key
            if key in found:
                self.refuse(key_node, "duplicate_key", f"{full} is given twice", "Remove one")
            elif valid is not None and key not in valid:
                near = difflib.get_close_matches(key, valid, 1)
                hint = f"Did you mean {near[0]}? " if near else ""
                self.refuse(
                    key_node,
                    "unknown_key",
                    f"unknown key {full}",
                    f"{hint}Valid keys: {', '.join(valid)}",
                )
            else:
                found[key] = value
        return found

    def text(self, node: yaml.Node | None, path: str, default: str = "") -> str:
        """A scalar's text (``default`` where there is none); anything else is refused."""
        if node is None:
            return default
        if isinstance(node, yaml.ScalarNode) and node.tag != "tag:yaml.org,2002:null":
            return str(node.value)
        self.refuse(node, "not_a_text", f"{path} must be one value")
        return ""

    def choice(
        self, node: yaml.Node | None, path: str, valid: tuple[str, ...], default: str = ""
    ) -> str:
        """A text out of ``valid``."""
        value = self.text(node, path, default)
        if node is not None and value not in valid:
            self.refuse(
                node, "bad_value", f"{path} is {value!r}", f"Valid values: {', '.join(valid)}"
            )
        return value

    def whole(
        self, node: yaml.Node | None, path: str, bounds: tuple[int, int], default: int
    ) -> int:
        """A whole number within ``bounds``, both included."""
        if node is None:
            return default
        low, high = bounds
        value = self.text(node, path)
        number = int(value) if re.fullmatch(r"[0-9]{1,9}", value) else -1
        if not low <= number <= high:
            self.refuse(
                node,
                "bad_value",
                f"{path} is {value!r}",
                f"Give a whole number from {low} to {high}",
            )
            return default
        return number

    def truth(self, node: yaml.Node | None, path: str, default: bool) -> bool:
        """A yes or no."""
        return self.choice(node, path, ("true", "false"), str(default).lower()) == "true"

    def pattern(
        self, node: yaml.Node | None, path: str, valid: re.Pattern[str], example: str
    ) -> str:
        """A text of one form; empty where there is none, or a wrong one."""
        value = self.text(node, path)
        if node is not None and not valid.fullmatch(value):
            self.refuse(node, "bad_value", f"{path} is {value!r}", f"Write it like {example}")
            return ""
        return value

    def interface(self, node: yaml.Node | None, path: str, default: str) -> str:
        """An IPv4 address with its prefix length."""
        if node is None:
            return default
        value = self.text(node, path)
        try:
            if "/" in value:
                return str(ipaddress.IPv4Interface(value))
        except ValueError:
            pass
        self.refuse(node, "bad_value", f"{path} is {value!r}", "Write it like 10.77.0.1/16")
        return default

    def address(self, node: yaml.Node | None, path: str) -> str:
        """An IPv4 address; empty where there is none, or a wrong one."""
        if node is None:
            return ""
        value = self.text(node, path)
        try:
            return str(ipaddress.IPv4Address(value))
        except ValueError:
            self.refuse(node, "bad_value", f"{path} is {value!r}", "Write it like 10.78.0.11")
            return ""
