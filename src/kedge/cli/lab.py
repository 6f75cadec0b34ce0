"""``kedge lab``: a test cluster of virtual bare metal on this machine."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import click

from kedge.cli.output import show
from kedge.cli.session import output_option
from kedge.lab.faults import KINDS
from kedge.lib.errors import KedgeError

FOLLOW_S = 0.2
DEFAULT_FILE = Path("examples/01-lab/lab.yaml")


_lab_option = click.option("--lab", "name", metavar="NAME", help="Which lab, when several are up.")


def _node_names(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    from kedge.lab.lab import Lab

    try:
        lab = Lab.running(context.params.get("name"))
    except (KedgeError, OSError):
        return []
    return [m.name for m in lab.description.machines if m.name.startswith(incomplete)]


@click.group(name="lab")
def group() -> None:
    """Run a test cluster of virtual machines with real BMCs on this machine (needs root)."""


@group.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), default=DEFAULT_FILE)
@output_option
def up(file: Path, output: str) -> None:
    """Start the lab that FILE describes: networks, registry, BMCs; its machines stay off."""
    from kedge.lab.lab import Lab

    lab = Lab.from_file(file)
    lab.up(lambda text: click.echo(f"  {text}", err=True))
    told = [
        f"The lab {lab.name} is up: {len(lab.description.machines)} machines.",
        f"Credentials for a site: {lab.paths.secrets}",
        f"The registry's CA: {lab.paths.registry_ca}",
        "Next: kedge lab status, kedge lab exec -- kedge serve",
    ]
    show(lab.status(), output, lambda: told)


@group.command()
@_lab_option
@output_option
def down(name: str | None, output: str) -> None:
    """End everything of the lab, and what was started with kedge lab exec; leave nothing."""
    from kedge.lab.lab import Lab

    try:
        lab = Lab.running(name)
    except KedgeError as error:
        if error.code == "lab.which":
            raise
        ended = _end_remains(name)
    else:
        lab.down(lambda text: click.echo(f"  {text}", err=True))
        ended = lab.name
    show({"down": ended}, output, lambda: [f"{ended or 'no lab'} is down"])


def _end_remains(name: str | None) -> str | None:
    """End a lab whose records were lost, by its name alone."""
    from kedge.lab.description import Description
    from kedge.lab.lab import Lab

    if name is not None:
        Lab(Description(name=name, machines=())).down()
    return name


@group.command()
@_lab_option
@output_option
def status(name: str | None, output: str) -> None:
    """Show each machine: power, BMC, process, memory, uptime and the faults put on it."""
    from kedge.lab.lab import Lab

    seen = Lab.running(name).status()
    show(seen, output, lambda: _lines([_row(machine) for machine in seen["machines"]]))
    if seen["daemon"] is None:
        click.echo("The lab's daemon is not running, so its BMCs are dead: kedge lab up", err=True)


def _lines(rows: list[tuple[str, ...]]) -> list[str]:
    titles = ("machine", "hardware", "power", "bmc", "pid", "memory", "uptime", "faults")
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    padded = ([c.ljust(w) for c, w in zip(row, widths, strict=True)] for row in (titles, *rows))
    return ["  ".join(cells).rstrip() for cells in padded]


def _row(machine: dict[str, Any]) -> tuple[str, ...]:
    bmc = machine["bmc"]
    on = machine["power"] == "on"
    return (
        machine["name"],
        f"{machine['arch']} {machine['firmware']}",
        machine["power"],
        f"{bmc['protocol']} {bmc['address']} {bmc['state']}" if bmc else "none",
        str(machine["pid"]) if on else "",
        f"{machine['memory_bytes'] >> 20} MB" if on else "",
        f"{machine['uptime_s']:.0f} s" if on else "",
        ", ".join(machine["faults"]),
    )


@group.command()
@click.argument("node", shell_complete=_node_names)
@click.option("-f", "--follow", is_flag=True, help="Go on as the machine writes more.")
@click.option("--raw", is_flag=True, help="Every byte, with what may command a terminal.")
@_lab_option
def console(node: str, follow: bool, raw: bool, name: str | None) -> None:
    """Print what NODE wrote to its serial console, as plain text."""
    from kedge.lab.console import Plain
    from kedge.lab.lab import Lab

    path = Lab.running(name).console_path(node)
    plain = Plain()
    position = 0
    try:
        while True:
            piece, position = _read_from(path, position)
            click.echo(piece if raw else plain.feed(piece, last=not follow), nl=False)
            if not follow:
                return
            time.sleep(FOLLOW_S)
    except KeyboardInterrupt:
        return


def _read_from(path: Path, position: int) -> tuple[bytes, int]:
    """What was written since ``position``, and the new position; a new file begins at 0."""
    if not path.exists():
        return b"", 0
    if path.stat().st_size < position:
        position = 0
    with path.open("rb") as file:
        file.seek(position)
        piece = file.read()
        return piece, file.tell()


@group.command(context_settings={"ignore_unknown_options": True})
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@_lab_option
def exec(command: tuple[str, ...], name: str | None) -> None:
    """Run COMMAND inside the lab's network namespace: kedge lab exec -- ping 10.78.0.11."""
    from kedge.lab.lab import Lab
    from kedge.lab.namespace import become

    lab = Lab.running(name)
    os.environ.update(lab.exec_mark())
    try:
        become(lab.namespace, list(command))
    except OSError as error:
        raise KedgeError(
            "lab.exec", f"cannot run {command[0]}", why=error.strerror or str(error)
        ) from error


@group.command()
@click.argument("node", shell_complete=_node_names)
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("value", required=False)
@_lab_option
def fault(node: str, kind: str, value: str | None, name: str | None) -> None:
    """Break NODE: kill its process, hang its BMC, drop 20 (percent), slow 2mbit; or clear."""
    from kedge.lab.lab import Lab

    Lab.running(name).fault(node, kind, value)
    faults = next(m["faults"] for m in Lab.running(name).status()["machines"] if m["name"] == node)
    if kind == "kill":
        faults = [*faults, "killed"]
    click.echo(f"{node}: {', '.join(faults) or 'no faults'}")
