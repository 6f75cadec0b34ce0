"""Answers as tables for people: pure, from rows to what rich can print."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from kedge.cli.alike import alike, doing, image_name, short, together, worst_first
from kedge.cli.output import plain
from kedge.cli.visible import visible
from kedge.lib.nodeset import fold
from kedge.shapes.log import EventRow
from kedge.shapes.nodes import NodeRow

EACH_MOST = 32
COLOURS = {
    "converged": "green",
    "moving": "cyan",
    "waiting": "yellow",
    "held": "magenta",
    "blocked": "red",
    "quarantined": "bold red",
}
POWER = "power.read"
"""The question after the power: where it has no answer, what was seen last is shown with a question mark."""
LEFT_ALONE = ("held", "quarantined")
DIFF = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}


class PlainTable(Table):
    """A table whose cells mean what they say: texts are no markup."""

    def add_row(self, *cells: RenderableType | None, **options: Any) -> None:
        """Add a row."""
        plain = (Text(visible(each)) if isinstance(each, str) else each for each in cells)
        super().add_row(*plain, **options)


def table(*titles: str) -> PlainTable:
    """An empty table without lines."""
    made = PlainTable(box=None, pad_edge=False, show_header=True, header_style="bold")
    for title in titles:
        made.add_column(title, overflow="fold")
    return made


def count(number: int, what: str) -> str:
    """``1 step``, ``2 steps``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def duration(seconds: float) -> str:
    """A span of time in its two largest units."""
    left = max(0, int(seconds))
    for unit, size, small, part in (("d", 86400, "h", 3600), ("h", 3600, "m", 60)):
        if left >= size:
            return f"{left // size}{unit}{left % size // part:02d}{small}"
    return f"{left // 60}m{left % 60:02d}s" if left >= 60 else f"{left}s"


def cell(value: Any) -> str:
    """A value in a table."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def status_table(rows: Sequence[NodeRow], now: float, *, each: bool | None = None) -> PlainTable:
    """Nodes and what they are in, the worst first; many nodes that say the same are one row."""
    if each is None:
        each = len(rows) <= EACH_MOST
    made = table("node", "state", "since", "power", "stage", "image", "now", "why", "next")
    for column in made.columns[1:5]:
        column.no_wrap = True
    for group in worst_first(alike(rows, each=each), each=each):
        made.add_row(*_cells(group, now))
    return made


def _cells(group: Sequence[NodeRow], now: float) -> list[Text | str]:
    """A row of the status. Too many nodes for a line are counted, and a command for them names NODESET."""
    row = group[0]
    nodes = fold(one.node for one in group)
    named = short(nodes)
    return [
        named,
        Text(row.phase, style=COLOURS.get(row.phase, "")),
        duration(now - min(one.since for one in group)),
        f"{row.power}?" if POWER in row.failures else row.power,
        row.stage,
        image_name(row.reference or row.image),
        doing(row),
        together([one.why for one in group], row.node, named),
        together([one.next for one in group], row.node, nodes if named == nodes else "NODESET"),
    ]


def status_paragraphs(
    rows: Sequence[NodeRow], now: float, *, each: bool | None = None
) -> list[Text]:
    """The same for a narrow terminal: what is long stands on lines of its own below each row."""
    if each is None:
        each = len(rows) <= EACH_MOST
    found: list[Text] = []
    for group in worst_first(alike(rows, each=each), each=each):
        node, phase, *parts, why, coming = _cells(group, now)
        line = Text("", style="").append(str(node), style="bold").append("  ").append(phase)
        line.append("  " + "  ".join(str(part) for part in parts if part))
        if group[0].phase != "converged" or group[0].failures:
            line.append(f"\n  {why}")
        if coming:
            line.append(f"\n  next: {coming}")
        found.append(line)
    return found


def summary_line(rows: Sequence[NodeRow]) -> Text:
    """How many nodes are in which phase."""
    line = Text(count(len(rows), "node"))
    for phase, colour in COLOURS.items():
        found = sum(row.phase == phase for row in rows)
        if found:
            line.append(", ").append(f"{found} {phase}", style=colour)
    return line


def clock(at: float) -> str:
    """A moment, in local time: the one form in which people see times."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def clock_of(written: str) -> str:
    """The same of a time as images and boot environments carry it (ISO 8601)."""
    try:
        return clock(datetime.datetime.fromisoformat(written).timestamp())
    except (ValueError, OverflowError):
        return written


def pool_name(pool: str) -> str:
    """``rack 7``, or ``the cluster``."""
    return "the cluster" if pool == "cluster" else pool


def event_line(event: EventRow) -> Text:
    """One event in one line."""
    line = Text().append(clock(event.at), style="dim")
    line.append(f"  {visible(short(event.nodes) or '-'):<10}  ", style="bold")
    line.append(visible(f"{event.what} {event.subject}"))
    if event.before or event.after:
        change = f"{event.before} -> {event.after}" if event.before else event.after
        line.append(f"  {visible(change)}", style="cyan")
    if event.cause:
        line.append(f"  ({visible(event.cause)})", style="dim")
    return line


def diff_lines(changes: Iterable[Any]) -> list[Text]:
    """Changes, one in a line, with where each is written."""
    lines: list[Text] = []
    for row in plain(list(changes)):
        sign, colour = DIFF.get(str(row.get("change")), ("~", "yellow"))
        line = Text(f"{sign} {row.get('kind', '')} {row.get('name', '')}", style=colour)
        if row.get("field"):
            line.append(f" {row['field']}", style="bold")
            before, after = cell(row.get("before")), cell(row.get("after"))
            line.append(f": {before} -> {after}" if before and after else f": {before or after}")
        if row.get("varied"):
            line.append(f" ({count(row['varied'], 'value')})", style="dim")
        if row.get("origin"):
            line.append(f"  [{row['origin']}]", style="dim")
        lines.append(line)
    return lines or [Text("nothing changes")]


def step_lines(steps: Sequence[Mapping[str, Any]]) -> list[Text]:
    """The steps of a path, each with what it is for; a disruptive one is marked."""
    lines: list[Text] = []
    for place, step in enumerate(steps):
        effects = ", ".join(f"{name}={value}" for name, value in step["effects"].items())
        after = [str(number + 1) for number in step.get("after") or ()]
        line = Text(f"  {place + 1}. {step['mutation']}", style="cyan").append(f"  {effects}")
        behind = f", after {' and '.join(after)}" if after else ""
        line.append(f"  ({step['cost_s']} s, {step['where']}{behind})", style="dim")
        if step.get("disruptive"):
            line.append("  disruptive", style="yellow")
        if step.get("why"):
            line.append(f"\n     because {step['why']}", style="dim")
        lines.append(line)
    return lines


def plan_lines(row: Mapping[str, Any]) -> list[Text]:
    """One node's path: steps with what they are for, or what is in the way."""
    steps: list[Mapping[str, Any]] = list(row.get("steps") or [])
    cost_s = row.get("cost_s", sum(step["cost_s"] for step in steps))
    head = Text(short(str(row.get("node", ""))), style="bold")
    if steps:
        proven = "" if row.get("proven_cheapest", True) else ", not proven cheapest"
        head.append(f": {count(len(steps), 'step')}, about {cost_s} s{proven}", style="")
    elif not row.get("blocked_by"):
        head.append(f": {_nothing(row)}", style="green")
    lines = [head]
    lines += step_lines(steps)
    if row.get("running"):
        lines.append(Text(f"  running: {', '.join(row['running'])}", style="green"))
    if row.get("waits"):
        lines.append(Text(f"  waits {row['waits']}", style="yellow"))
    lines += map(_queue_line, row.get("queues") or ())
    if row.get("blocked_by"):
        lines.append(Text(f"  blocked: {row['blocked_by']}", style="red"))
    if row.get("phase") in LEFT_ALONE and (steps or row.get("blocked_by")):
        lines.append(_left_alone(row))
    return lines


def _left_alone(row: Mapping[str, Any]) -> Text:
    """That nothing of a path is begun, as the node is held or quarantined, and what ends that."""
    phase, node = row["phase"], short(str(row["node"]))
    before = f"kedge node retry {node}" if phase == "quarantined" else "it is released"
    why = f": {row['why']}" if row.get("why") else ""
    return Text(f"  {phase}{why}. Nothing of this begins before {before}", style="magenta")


def _queue_line(queue: Mapping[str, Any]) -> Text:
    """A place in a queue: who is ahead, who uses it, and who must be seen to."""
    least, most = queue["ahead"], queue["ahead_most"]
    ahead = f"{least}" if least == most else f"{least} to {most}"
    what = f"with {queue['step']}" if queue["step"] else "to go out of service"
    users = ", ".join(queue["users"]) or "nobody"
    more = queue["used"] - len(queue["users"])
    line = Text(
        f"  waits {what} for {queue['budget']} of {pool_name(queue['pool'])}: ", style="yellow"
    )
    line.append(f"{ahead} ahead; {queue['used']} of {queue['limit']} used by {users}")
    if more > 0:
        line.append(f" and {more} more")
    if queue["blocker"]:
        line.append(f"; {queue['blocker']} does not go on by itself: kedge why {queue['blocker']}")
    return line


def _nothing(row: Mapping[str, Any]) -> str:
    """Why there is no step, and what one may ask instead."""
    if row.get("phase") in LEFT_ALONE:
        return f"nothing to do; {row['phase']}: {row.get('why', '')}"
    if row.get("phase") != "converged" or not row.get("why"):
        return "nothing to do"
    other = f"kedge plan {row['node']} --to power.state=off"
    return f"nothing to do, {row['why']}. Other goals: {other}"


def records_table(rows: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> PlainTable:
    """Rows of plain values under the given keys."""
    made = table(*keys)
    for row in rows:
        made.add_row(*(cell(row.get(key)) for key in keys))
    return made
