"""Dry runs as people read them: what would change, who would do what, how long, and what it waits for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.text import Text

from kedge.cli.output import plain, show
from kedge.cli.render import count, diff_lines, duration, pool_name, short, step_lines
from kedge.shapes.paths import LegRow, OutlookRow, Preview, ProspectRow, StandingRow

KINDS_MOST = 12


def show_preview(found: Preview, output: str) -> None:
    """Write a dry run in the chosen form."""
    show(found, output, lambda: [*changed_lines(found), *prospect_lines(found.prospect)])


def changed_lines(found: Preview) -> list[Text]:
    """What would be configured otherwise; a change of that kind is not what some commands are for."""
    if not found.changes and found.prospect.moving:
        return [Text("no configured value changes")]
    return diff_lines(found.changes)


def prospect_lines(found: ProspectRow) -> Iterable[Text]:
    """Every kind of nodes with its steps, and a summary."""
    for row in found.moving[:KINDS_MOST]:
        yield _head(row)
        yield from step_lines(plain(row.steps))
        yield from _assumed(row)
        if row.blocked_by:
            yield Text(f"  blocked: {row.blocked_by}", style="red")
    left = found.moving[KINDS_MOST:]
    if left:
        nodes = sum(row.count for row in left)
        yield Text(
            f"and {count(nodes, 'more node')} on {count(len(left), 'other way')}: -o json", "dim"
        )
    yield from summary_lines(found)


def _assumed(row: OutlookRow) -> Iterable[Text]:
    taken = [f"{name} {symbol}" for name, symbol in row.assumed.items() if symbol != "unknown"]
    if taken:
        yield Text(f"  not known, and taken to be: {', '.join(taken)}", style="dim")


def _head(row: OutlookRow) -> Text:
    line = Text(short(row.nodes), style="bold")
    line.append(f": {count(len(row.steps), 'step')}, {duration(row.cost_s)} of work each", style="")
    if row.count > 1 and row.there_s > row.cost_s:
        line.append(f", all within {duration(row.there_s)}", style="")
    if row.disrupted:
        how_long = f"for up to {duration(row.out_s)}" if row.returns else "from then on"
        line.append(f"; out of service {how_long}", style="yellow")
    if not row.proven_cheapest:
        line.append("; not proven cheapest", style="dim")
    return line


def summary_lines(found: ProspectRow) -> Iterable[Text]:
    """How many nodes move and go out of service, who does not, how long it takes, and why so long."""
    yield from _standing("blocked", found.blocked, "red")
    yield from _standing("held", found.held, "magenta")
    yield from _standing("quarantined", found.quarantined, "bold red")
    for row in found.stuck:
        yield Text(
            f"{short(row.nodes)} would wait for ever for {row.budget} of {pool_name(row.pool)}: all of it is "
            "used by nodes that do not move. See: kedge budgets",
            style="red",
        )
    if not found.moving_count:
        yield Text("no node takes a step")
        return
    line = Text(f"{count(found.moving_count, 'node')} {_s(found.moving_count, 'move')}")
    if found.disrupted:
        line.append(
            f", {found.disrupted} {_s(found.disrupted, 'go', 'es')} out of service", "yellow"
        )
    line.append(f"; the last is there after about {duration(found.duration_s)}")
    yield line
    if len(found.critical) > 1 or any(leg.budget for leg in found.critical):
        yield from _legs(found.critical)


def _s(number: int, verb: str, ending: str = "s") -> str:
    return f"{verb}{ending}" if number == 1 else verb


def _standing(word: str, rows: Sequence[StandingRow], colour: str) -> Iterable[Text]:
    for row in rows:
        yield Text(f"{word}: {short(row.nodes)} ({row.why})", style=colour)


def _legs(legs: Sequence[LegRow]) -> Iterable[Text]:
    yield Text("it takes so long because of:", style="dim")
    for leg in legs:
        span = f"  {duration(leg.start_s):>6} - {duration(leg.end_s):<6}"
        if leg.budget:
            at_once = f"{count(leg.limit, 'node')} at once"
            what = f"{leg.budget} of {pool_name(leg.pool)}, {at_once}: {short(leg.nodes)}"
        else:
            what = f"{', '.join(leg.moves)} on {short(leg.nodes)}"
        yield Text(f"{span}  {what}", style="dim")
