"""``kedge image prune``: give space of a head's disk back, and say why the rest stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kedge.cli.acting import act
from kedge.cli.kinds import Span
from kedge.cli.output import confirmed, console, show, tell, write
from kedge.cli.session import output_option, yes_option

if TYPE_CHECKING:
    from rich.console import RenderableType


@click.command()
@click.option("--unused", is_flag=True, help="Remove images, too, that nobody needs.")
@click.option("--older-than", type=Span(), default="1h", show_default=True, metavar="SPAN",
              help="Only what nobody has imported or used for so long (30min, 12h, 7d).")  # fmt: skip
@yes_option
@click.option("--dry-run", is_flag=True, help="Only show what would go, and why the rest stays.")
@output_option
def prune(unused: bool, older_than: float, yes: bool, dry_run: bool, output: str) -> None:
    """Remove files from the head's disk that no image needs; with --unused, images that nobody needs.

    An image is needed while a node wants it or runs it, while the site's files name it, while a release
    holds it (kedge release list), and while a rollout goes to it or could go back to it: then it stays.
    What nobody needs is shown first, and you are asked. A tag whose image is removed means, when somebody
    wants it again, what it is in its registry then.

    Without --unused only blobs go that no image, no layer0 and no module names: left by imports that failed
    and by what was built anew. It runs on the machine that answers; sub-masters clean up by themselves.
    """
    asked: dict[str, Any] = {"unused": unused, "older_than_s": older_than}
    found: dict[str, Any] = act("image", "prune", {**asked, "dry_run": True})
    if dry_run:
        show(found, output, lambda: _foreseen(found))
        return
    if found["blobs"] or found["images"]:
        if output == "table":
            write(console(err=True), _foreseen(found, whole=False))
        confirmed("They are removed.", yes=yes)
    asked["images"] = [image["digest"] for image in found["images"]]
    done: dict[str, Any] = act("image", "prune", asked)
    tell(done, output, f"{_amount(done)} removed; {_images(done['images_kept'])} kept")


def _images(number: int) -> str:
    from kedge.cli.render import count

    return count(number, "image")


def _amount(found: dict[str, Any]) -> str:
    from kedge.cli.render import count

    gone = len(found["images"])
    images = f"{_images(gone)} and " if gone else ""
    return f"{images}{count(len(found['blobs']), 'blob')} ({found['size_bytes'] / 1e6:.1f} MB)"


def _foreseen(found: dict[str, Any], *, whole: bool = True) -> list[RenderableType]:
    """What would go; ``whole``: and what stays, and why."""
    lines: list[RenderableType] = [
        f"- {_name(image)}: nobody needs it" for image in found["images"]
    ]
    if whole:
        lines += [f"  {_name(image)} stays: {_why(image, found)}" for image in found["kept"]]
        lines += [f"- {blob}" for blob in found["blobs"]]
    would = f"{_amount(found)} would go, {_images(found['images_kept'])} would stay"
    return [*lines, would]


def _name(image: dict[str, Any]) -> str:
    return f"{image['reference']} ({image['arch']}, {str(image['digest'])[:19]})"


def _why(image: dict[str, Any], found: dict[str, Any]) -> str:
    from kedge.cli.needing import needed_by
    from kedge.cli.render import duration

    words = needed_by(image)
    if words != "nothing":
        return words
    return {
        "imported lately": f"nobody needs it, but it came within {duration(found['older_than_s'])}",
        "not asked for": "nobody needs it: kedge image prune --unused",
    }.get(str(image["why"]), str(image["why"]))
