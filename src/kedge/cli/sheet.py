"""All that is known of one node, on one page."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, cast

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from kedge.cli.render import COLOURS, cell, clock, duration, table


def origin_table(configured: Mapping[str, Any]) -> Table:
    """Configured values, with where each is written."""
    made = table("variable", "configured", "written in")
    for name, entry in configured.items():
        when = f" at {clock(entry['at'])}" if entry.get("at") else ""
        made.add_row(name, cell(entry["value"]), entry["origin"] + when)
    return made


def node_sheet(found: Mapping[str, Any]) -> list[RenderableType]:
    """Condition first, then what it should be, what it was seen to be, and facts."""
    now = time.time()
    head = Text(str(found["node"]), style="bold").append("  ")
    head.append(found["phase"], style=COLOURS.get(found["phase"], ""))
    head.append(f" for {duration(now - found['since'])}", style="dim")
    parts: list[RenderableType] = [head]
    for title in ("why", "next", "step", "hold"):
        if found.get(title):
            parts.append(Text(f"  {title}: {found[title]}"))
    for name, why in found.get("failures", {}).items():
        parts.append(Text(f"  failed: {name}: {why}", style="red"))
    about = table("", "")
    for title in ("group", "profiles", "addresses", "macs", "attributes"):
        if found.get(title):
            about.add_row(title, _words(found[title]))
    about.show_header = False
    parts += [about, Text(""), origin_table(found.get("configured", {})), Text("")]
    seen = table("variable", "discovered", "age", "by", "seen at")
    symbols: Mapping[str, str] = found.get("symbols", {})
    for name, entry in found.get("discovered", {}).items():
        if entry["value"] in (None, "") and name not in symbols:
            continue
        age, at = duration(now - entry["at"]), clock(entry["at"])
        seen.add_row(name, _seen(entry["value"], symbols.get(name, "")), age, entry["by"], at)
    parts.append(seen)
    if found.get("facts"):
        facts = table("fact", "value")
        for name, value in sorted(found["facts"].items()):
            facts.add_row(name, cell(value))
        parts += [Text(""), facts]
    return parts


def _seen(value: Any, symbol: str) -> str:
    """A discovered value; in the place of one that is not known, what it is taken to be."""
    if value is not None:
        return cell(value)
    return f"unknown, taken to be {symbol}" if symbol not in ("", "unknown") else "unknown"


def _words(value: Any) -> str:
    if isinstance(value, dict):
        entries = cast("Mapping[str, Any]", value)
        return ", ".join(f"{key}={cell(one)}" for key, one in entries.items())
    if isinstance(value, list):
        return ", ".join(map(cell, cast("list[Any]", value)))
    return str(value)
