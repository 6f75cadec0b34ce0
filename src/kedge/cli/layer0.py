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
@click.option(
    "--here",
    is_flag=True,
    help="Build in this process, with this shell's network, into the head's state directory.",
)
@click.option("--mirror", metavar="URL", help="A Debian mirror; this machine's own, if not given.")
@output_option
def build(arch: tuple[str, ...], here: bool, mirror: str | None, output: str) -> None:
    """Build layer0 from Debian packages, for x86_64 unless --arch says otherwise.

    Kedge builds it, unless --here is given: for a head that reaches no Debian mirror itself, or
    does not run yet.
    """
    records: list[Any] = []
    for one in arch or ARCHES[:1]:
        if here:
            record = build_here(one, mirror)
        else:
            record = act("boot", "layer0-build", {"arch": one, "mirror": mirror}, topic="layer0")
        records.append(record)
        if output == "table":
            say(f"layer0 for {one} is {record['digest']}")
    if output != "table":
        show(records, output, lambda: ())


def build_here(arch: str, mirror: str | None) -> dict[str, Any]:
    """Build layer0 in this process; its record."""
    from dataclasses import asdict

    from kedge.cli.session import shared
    from kedge.master.process.settings import read_settings
    from kedge.master.serve import prepare_state_dir
    from kedge.modules.boot.layer0 import build

    settings = read_settings(shared().config)
    prepare_state_dir(settings)

    def tell(what: str, share: float) -> None:
        click.echo(f"{arch}: {what} ({share:.0%})", err=True)

    return asdict(build(arch, settings.state_dir, tell, mirror=mirror))


@layer0.command("list")
@output_option
def list_(output: str) -> None:
    """List what was built, by architecture."""
    rows: list[dict[str, Any]] = act("boot", "layer0-list", {})

    def drawn():
        from kedge.cli.render import clock_of, records_table

        if not rows:
            return ["No layer0 was built yet: kedge layer0 build"]
        shown = [{**row, "created": clock_of(str(row.get("created", "")))} for row in rows]
        return [records_table(shown, ["arch", "digest", "created"])]

    show(rows, output, drawn)
