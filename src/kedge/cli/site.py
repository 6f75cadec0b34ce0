"""``kedge apply`` and ``kedge diff``: a folder of YAML becomes the site, in one transaction."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kedge.cli.folder import read_folder
from kedge.cli.output import confirmed, console, say, show, write
from kedge.cli.session import ask, output_option, wait_options, yes_option

if TYPE_CHECKING:
    from kedge.client.client import Client

APPLY_TIMEOUT_S = 300.0
_folder = click.argument(
    "folder", type=click.Path(exists=True, file_okay=False, path_type=Path), default=Path()
)


@click.command()
@_folder
@output_option
def diff(folder: Path, output: str) -> None:
    """Show what applying FOLDER (default: this one) would change and what nodes would then do: their
    steps, which go out of service, and how long it takes. Nothing is changed."""
    _show_foreseen(folder, output)


def _show_foreseen(folder: Path, output: str) -> None:
    from kedge.cli.prospect import show_preview

    files = read_folder(folder)
    found = ask(lambda client: client.foresee_files(files), timeout_s=APPLY_TIMEOUT_S)
    show_preview(found, output)


@click.command()
@_folder
@yes_option
@click.option("--dry-run", is_flag=True, help="Only show what would happen, like kedge diff.")
@wait_options
@output_option
def apply(
    folder: Path, yes: bool, dry_run: bool, wait: bool, timeout_s: float, output: str
) -> None:
    """Make FOLDER (default: this one) the site, whole or not at all.

    Shows the changes and asks, on a terminal. Nothing is applied if somebody else did meanwhile.
    """
    if dry_run:
        _show_foreseen(folder, output)
        return
    files = read_folder(folder)

    async def change(client: Client) -> tuple[list[dict[str, Any]], int]:
        from kedge.cli.prospect import summary_lines
        from kedge.cli.render import diff_lines
        from kedge.cli.waiting import wait_converged

        revision = (await client.about()).revision
        found = await client.foresee_files(files)
        if output == "table":
            write(console(err=True), [*diff_lines(found.changes), *summary_lines(found.prospect)])
        if found.changes:
            confirmed("These changes become the site.", yes=yes)
        rows = await client.apply(files, revision)
        if output == "table":
            say("applied" if rows else "applied: the site was like this already")
        code = await wait_converged(client, "", timeout_s) if wait else 0
        return rows, code

    rows, code = ask(change, timeout_s=APPLY_TIMEOUT_S)
    if output != "table":
        show(rows, output, lambda: ())
    click.get_current_context().exit(code)
