"""``kedge strangers``: machines that were seen on the network and are in no file."""

from __future__ import annotations

from typing import Any

import click

from kedge.cli.output import show
from kedge.cli.session import ask, output_option


@click.command()
@output_option
def strangers(output: str) -> None:
    """List machines seen on the network that are in no file.

    One becomes a node by its MAC address in the site's files: docs/howto/add-a-node.md
    """
    rows = ask(lambda client: client.strangers())
    show(rows, output, lambda: _drawn(rows))


def _drawn(rows: list[dict[str, Any]]):
    from kedge.cli.render import clock, records_table

    if not rows:
        return ["No machine was seen that is in no file."]
    keys = ["mac", *sorted({key for row in rows for key in row} - {"mac"})]
    shown = [
        {key: clock(v) if key.endswith("_seen") else v for key, v in row.items()} for row in rows
    ]
    return [records_table(shown, keys)]
