"""``kedge layer0``: build the boot environment for an architecture, and list what was built."""

from __future__ import annotations

from typing import Any

import click

from kedge.cli.acting import act
from kedge.cli.output import say, show
from kedge.cli.session import output_option

ARCHES = ("x86_64", "aarch64")


@click.group()
def layer0() -> None:
    """Build the boot environment, and list what was built."""


@layer0.command()
@click.option("--arch", type=click.Choice(ARCHES), multiple=True, help="May be repeated.")
@output_option
def build(arch: tuple[str, ...], output: str) -> None:
    """Build layer0 from Debian packages, for x86_64 unless --arch says otherwise."""
    records: list[Any] = []
    for one in arch or ARCHES[:1]:
        record = act("boot", "layer0-build", {"arch": one}, topic="layer0")
        records.append(record)
        if output == "table":
            say(f"layer0 for {one} is {record['digest']}")
    if output != "table":
        show(records, output, lambda: ())


@layer0.command("list")
@output_option
def list_(output: str) -> None:
    """List what was built, by architecture."""
    rows: list[dict[str, Any]] = act("boot", "layer0-list", {})

    def drawn():
        from kedge.cli.render import records_table

        if not rows:
            return ["No layer0 was built yet: kedge layer0 build"]
        return [records_table(rows, ["arch", "digest", "created"])]

    show(rows, output, drawn)
