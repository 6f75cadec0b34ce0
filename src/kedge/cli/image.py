"""``kedge image``: bring images from a registry, and look at those that are here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kedge.cli.acting import act
from kedge.cli.image_prune import prune
from kedge.cli.output import confirmed, console, show, tell, write
from kedge.cli.session import ask, output_option, yes_option

if TYPE_CHECKING:
    from rich.console import RenderableType

    from kedge.shapes.paths import ProspectRow

ARCHES = ("x86_64", "aarch64")


@click.group()
def image() -> None:
    """Import images and look at them."""


image.add_command(prune)


@image.command("import")
@click.argument("reference")
@click.option("--arch", type=click.Choice(ARCHES), default="x86_64", show_default=True,
              help="Of an image for several architectures.")  # fmt: skip
@yes_option
@click.option(
    "--dry-run", is_flag=True, help="Only show what it is now, which nodes would move, and how."
)
@output_option
def import_(reference: str, arch: str, yes: bool, dry_run: bool, output: str) -> None:
    """Bring REFERENCE (registry/name:tag) again, convert it, and pin the tag to its digest.

    Nodes that want the reference move to what it is now. Where that reboots any, they are shown,
    and you are asked.
    """
    asked: dict[str, Any] = {"reference": reference, "arch": arch}
    coming: dict[str, Any] = act("image", "import", {**asked, "dry_run": True})
    prospect = _prospect(coming)
    if dry_run:
        answer = {**coming, "prospect": prospect}
        show(answer, output, lambda: _foreseen(coming, prospect, whole=True))
        return
    if coming["moves"]:
        if output == "table":
            write(console(err=True), _foreseen(coming, prospect))
        confirmed("These nodes move to the new image: what runs on them ends.", yes=yes)
    record = act("image", "import", {**asked, "digest": coming["after"]}, topic="image")
    tell(record, output, f"{reference} ({arch}) is {record['digest']}")


def _prospect(coming: dict[str, Any]) -> ProspectRow | None:
    """What the nodes would do that the import moves; None where there are none."""
    from kedge.lib.nodeset import fold

    if not coming["moves"]:
        return None
    nodes = fold(coming["moves"])
    meant = {"reference": coming["reference"], "digest": coming["after"]}
    return ask(lambda client: client.foresee_meaning(nodes, {"image.wanted": meant})).prospect


def _foreseen(
    coming: dict[str, Any], prospect: ProspectRow | None, *, whole: bool = False
) -> list[RenderableType]:
    from kedge.cli.prospect import prospect_lines, summary_lines
    from kedge.lib.nodeset import fold

    after = coming["after"] or "known only once it is read"
    lines: list[RenderableType] = [f"{coming['reference']} ({coming['arch']})"]
    lines.append(f"  here:  {coming['before'] or 'not imported yet'}")
    lines.append(f"  now:   {after}" + (" (the same)" if after == coming["before"] else ""))
    lines.append(f"  moves: {fold(coming['moves']) or 'no node'}")
    if prospect is not None:
        lines += (prospect_lines if whole else summary_lines)(prospect)
    return lines


@image.command("list")
@output_option
def list_(output: str) -> None:
    """List the images that are here, and who needs each: nodes, the site's files, releases, rollouts.

    What nobody needs can go: kedge image prune --unused.
    """
    rows: list[dict[str, Any]] = act("image", "list", {})
    show(rows, output, lambda: _drawn(rows))


def _drawn(rows: list[dict[str, Any]]):
    from kedge.cli.needing import needed_by
    from kedge.cli.render import clock_of, records_table

    if not rows:
        return [
            "No image is here yet. Nodes bring what they want, or: kedge image import REFERENCE"
        ]
    shown = [
        {
            **row,
            "digest": str(row.get("digest", ""))[:19],
            "size": f"{row.get('size_bytes', 0) / 1e6:.0f} MB",
            "created": clock_of(str(row.get("created", ""))),
            "kernel": row.get("kernel", {}).get("version", ""),
            "needed by": needed_by(row),
        }
        for row in rows
    ]
    keys = ["reference", "arch", "digest", "kernel", "size", "created", "needed by"]
    return [records_table(shown, keys)]


@image.command("show")
@click.argument("name", metavar="IMAGE")
@output_option
def show_(name: str, output: str) -> None:
    """Show IMAGE: a reference, a digest, or the start of a digest."""
    records = act("image", "show", {"image": name})
    show(records, output, lambda: _pages(records))


def _pages(records: Any):
    import yaml

    return [yaml.safe_dump(records, sort_keys=False).rstrip()]
