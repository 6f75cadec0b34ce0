"""``kedge submaster``: let sub-masters join the tree, and look at them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kedge.cli.output import show, tell
from kedge.cli.session import ask, output_option
from kedge.lib.errors import KedgeError

if TYPE_CHECKING:
    from kedge.shapes.submasters import SubMasterRow


@click.group()
def submaster() -> None:
    """Let sub-masters join, look at them, and forget them."""


@submaster.command("list")
@output_option
def list_(output: str) -> None:
    """List all sub-masters: the node that each runs on, if any, whether it is there, what it owns now."""
    rows = ask(lambda client: client.submasters())
    show(rows, output, lambda: _table(rows))


def _table(rows: list[SubMasterRow]):
    from kedge.cli.render import clock, table

    deep = any(row.below for row in rows)
    columns = ["sub-master", "on", "state", "since", "address", "owns", "parent of", "nodes"]
    drawn = table(*columns, *(["below"] if deep else []), "trouble")
    for row in rows:
        trouble = "; ".join([*([row.why] if row.why else []), *row.degraded.values()])
        drawn.add_row(
            row.name, row.node, row.state, clock(row.since), row.address, ", ".join(row.owns),
            ", ".join(row.parent_of), str(row.nodes), *([row.below] if deep else []), trouble,
        )  # fmt: skip
    return [drawn] if rows else ["no sub-masters yet: kedge submaster add NAME"]


@submaster.command()
@click.argument("name")
@click.option(
    "--below",
    default="",
    metavar="SUBMASTER",
    help="Below which other sub-master, or master.  [default: where it is; else master]",
)
@click.option("--file", "path", type=click.Path(dir_okay=False, path_type=Path),
              help="Where to write the join file.  [default: NAME.join]")  # fmt: skip
@output_option
def add(name: str, below: str, path: Path | None, output: str) -> None:
    """Let sub-master NAME join (also again, on a new machine), and write its join file.

    The file holds a secret that is good for one join within seven days. Carry it to the machine over a
    channel that you trust, and type there: kedge init --role sub-master --join NAME.join
    """
    import msgspec

    path = path or Path(f"{name}.join")
    if path.exists():
        raise KedgeError(
            "submaster.file", "there is such a file already", where=str(path),
            next_step="Move it away, or give another name with --file",
        )  # fmt: skip
    made = ask(lambda client: client.submaster_add(name, below))
    write_secret(path, msgspec.json.encode(made).decode() + "\n")
    masters = (
        []
        if made.masters
        else ["  write there where it finds the one above: tree: { masters: [ADDRESS] }"]
    )
    tell(
        {"name": name, "file": str(path)},
        output,
        f"{name} may join once. Its secret is in {path}. On its machine:",
        f"  kedge init --role sub-master --join {path.name}",
        *masters,
        "  kedge serve",
    )


@submaster.command()
@click.argument("name")
@output_option
def remove(name: str, output: str) -> None:
    """Forget sub-master NAME, which no group names any more."""
    answer = ask(lambda client: client.submaster_remove(name))
    show(answer, output, lambda: [f"{name} is forgotten"])


def write_secret(path: Path, text: str) -> None:
    """Write a new file that only its owner can read."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise KedgeError(
            "submaster.file", "the join file cannot be written", where=str(path),
            why=error.strerror or str(error),
        ) from None  # fmt: skip
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
