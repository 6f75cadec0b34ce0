"""``kedge events``: the append-only log of all that happened."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import click

from kedge.cli.kinds import Span
from kedge.cli.output import console, plain, say, show, write
from kedge.cli.session import ask, nodes_argument, output_option

if TYPE_CHECKING:
    from kedge.client.client import Client
    from kedge.shapes.log import EventRow

LAST, FOLDED, MOST = 50, 1_000, 10_000
"""How many are shown, how many are looked at to be folded, how many may be asked for."""


@click.command()
@nodes_argument(required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on as more happens.")
@click.option("-n", "--limit", type=click.IntRange(1, MOST), default=None,
              help="So many of the last events.  [default: the last 50 lines; with --since all]")  # fmt: skip
@click.option("--since", "since_s", type=Span(), default=None, metavar="SPAN",
              help="Only of the last 90s, 15min, 1h, 2d.")  # fmt: skip
@click.option("--after", type=click.IntRange(0), default=0, metavar="SEQ",
              help="Begin behind this event.")  # fmt: skip
@click.option("--each/--fold", default=False,
              help="A line for each event, or one for all alike.  [default: fold]")  # fmt: skip
@output_option
def events(
    nodes: str,
    follow: bool,
    limit: int | None,
    since_s: float | None,
    after: int,
    each: bool,
    output: str,
) -> None:
    """Show what happened, when and why; the newest last. With -f, -o json gives one line each.

    What happened alike to many nodes within some seconds is one line.
    """

    async def look(client: Client) -> None:
        folds = output == "table" and not each and not follow
        most = limit or (MOST if since_s else FOLDED if folds and not after else LAST)
        rows = await client.events(nodes, after, most)
        if since_s is not None:
            rows = _since(rows, time.time() - since_s, most)
        if not follow:
            lines = LAST if most == FOLDED else MOST
            show(rows, output, lambda: _lines(rows, each=each)[-lines:])
            return
        for row in rows:
            _write(row, output)
        last = rows[-1].seq if rows else after
        await _follow(client, nodes, last, output)

    try:
        ask(look)
    except KeyboardInterrupt:
        if not follow:
            raise


def _since(rows: list[EventRow], begin: float, most: int) -> list[EventRow]:
    found = [row for row in rows if row.at >= begin]
    if len(found) == most:
        say(f"Older ones are left out: these are the last {most}.")
    return found


async def _follow(client: Client, nodes: str, last: int, output: str) -> None:
    import msgspec

    from kedge.lib.nodeset import expand, fold
    from kedge.shapes.log import EventRow

    wanted = set(await _named(client, nodes)) if nodes else set[str]()
    async for message in client.watch("event", after=last):
        if message.topic != "event":
            continue
        row = msgspec.convert(message.content, EventRow)
        if wanted:
            spoken_of = [name for name in expand(row.nodes) if name in wanted]
            if not spoken_of:
                continue
            row.nodes = fold(spoken_of)
            row.node = spoken_of[0] if len(spoken_of) == 1 else ""
        _write(row, output)


async def _named(client: Client, nodes: str) -> list[str]:
    """The names of a nodeset. Only Kedge knows its groups, and only of nodes that there are."""
    from kedge.lib.nodeset import expand

    return [row.node for row in await client.status(nodes)] if "@" in nodes else expand(nodes)


def _lines(rows: list[EventRow], *, each: bool):
    from kedge.cli.event_folding import folded
    from kedge.cli.render import event_line

    if not rows:
        return ["Nothing of that is in the log."]
    return [event_line(row) for row in (rows if each else folded(rows))]


def _write(row: EventRow, output: str) -> None:
    if output == "json":
        click.echo(json.dumps(plain(row)))
    elif output == "yaml":
        import yaml

        click.echo("---\n" + yaml.safe_dump(plain(row), sort_keys=False), nl=False)
    else:
        from kedge.cli.render import event_line

        write(console(), [event_line(row)])
