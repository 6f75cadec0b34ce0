"""``kedge events``: the append-only log of all that happened."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from kedge.cli.output import console, plain, show, write
from kedge.cli.session import ask, nodes_argument, output_option

if TYPE_CHECKING:
    from kedge.client.client import Client
    from kedge.shapes.log import EventRow


@click.command()
@nodes_argument(required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on as more happens.")
@click.option("-n", "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True,
              help="So many of the last ones.")  # fmt: skip
@click.option("--after", type=click.IntRange(0), default=0, metavar="SEQ",
              help="Begin behind this event.")  # fmt: skip
@output_option
def events(nodes: str, follow: bool, limit: int, after: int, output: str) -> None:
    """Show what happened, when and why; the newest last. With -f, -o json gives one line each."""

    async def look(client: Client) -> None:
        rows = await client.events(nodes, after, limit)
        if not follow:
            show(rows, output, lambda: _lines(rows))
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


async def _follow(client: Client, nodes: str, last: int, output: str) -> None:
    import msgspec

    from kedge.lib.nodeset import expand, fold
    from kedge.shapes.log import EventRow

    wanted = set(expand(nodes)) if nodes else set[str]()
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


def _lines(rows: list[EventRow]):
    from kedge.cli.render import event_line

    return [event_line(row) for row in rows]


def _write(row: EventRow, output: str) -> None:
    if output == "json":
        click.echo(json.dumps(plain(row)))
    elif output == "yaml":
        import yaml

        click.echo("---\n" + yaml.safe_dump(plain(row), sort_keys=False), nl=False)
    else:
        from kedge.cli.render import event_line

        write(console(), [event_line(row)])
