"""``kedge release``: bind what nodes run to a name, and look at what is bound."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kedge.ci.git import read_commit
from kedge.cli.folder import read_folder
from kedge.cli.output import confirmed, say, show, tell
from kedge.cli.session import ask, output_option, yes_option

if TYPE_CHECKING:
    from kedge.shapes.releases import ReleaseDetail, ReleaseRow


@click.group()
def release() -> None:
    """Make releases, and look at what they bind."""


@release.command()
@click.argument("name")
@click.option(
    "--from-git",
    "ref",
    metavar="REF",
    default="",
    help="The commit (branch, tag) to take the folder's files from; else as they lie there now.",
)
@click.option(
    "--site",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    show_default="this folder",
    help="The site's folder.",
)
@click.option(
    "--service",
    "services",
    multiple=True,
    metavar="NAME=VERSION",
    help="A version of a service that belongs to the release. May be repeated.",
)
@output_option
def create(name: str, ref: str, folder: Path, services: tuple[str, ...], output: str) -> None:
    """Bind profiles, overlays, host files and the digests of their images to NAME, for ever.

    Which nodes there are stays the site's (kedge apply). Every image is looked up in its registry; if
    one is not there, no release is made. Nothing runs on any node yet: kedge rollout start.

    kedge release create 2026-12 --site /etc/kedge/site --from-git v2026.12
    """
    files, commit = read_commit(folder, ref) if ref else (read_folder(folder), "")
    versions: dict[str, str] = {}
    for word in services:
        service, equals, version = word.partition("=")
        if not (service and equals and version):
            raise click.BadParameter("write NAME=VERSION", param_hint="--service")
        versions[service] = version
    made = ask(lambda client: client.release_create(name, files, commit, versions))
    unnamed = "It holds the files as they lie in the folder: no commit can make it again."
    holds = f"release {name}: {len(made.files)} files, {made.images} images"
    tell(made, output, holds, *([] if commit else [unnamed]))


@release.command("list")
@output_option
def list_(output: str) -> None:
    """List all releases, the oldest first, with the nodes that have them."""
    rows = ask(lambda client: client.releases())
    show(rows, output, lambda: _table(rows))


def _table(rows: list[ReleaseRow]):
    from kedge.cli.render import clock, table

    drawn = table("release", "commit", "made", "by", "images", "nodes")
    for row in rows:
        drawn.add_row(
            row.name, row.commit[:12], clock(row.at), row.by, str(row.images), row.nodes or "none"
        )
    return [drawn] if rows else ["no releases yet: kedge release create"]


@release.command("show")
@click.argument("name")
@output_option
def show_(name: str, output: str) -> None:
    """Show all that release NAME binds."""
    found = ask(lambda client: client.release_show(name))
    show(found, output, lambda: _lines(found))


def _lines(found: ReleaseDetail):
    from kedge.cli.render import clock

    yield f"release {found.name}, made {clock(found.at)} by {found.by} with Kedge {found.kedge}"
    yield f"  commit:  {found.commit or 'none (from a folder as it lay there)'}"
    yield f"  binds:   {found.digest}"
    yield f"  nodes:   {found.nodes or 'none'}"
    for reference, of in found.bound.items():
        for arch, digest in of.items():
            yield f"  image:   {reference} ({arch}) {digest}"
    for service, version in found.services.items():
        yield f"  service: {service} {version}"
    for path, size in found.files.items():
        yield f"  file:    {path} ({size} characters)"


@release.command()
@click.argument("before")
@click.argument("after", default="")
@output_option
def diff(before: str, after: str, output: str) -> None:
    """Show what the site's nodes would be otherwise with release AFTER than with BEFORE.

    With one release only: otherwise than with the applied site.
    """
    one, other = (before, after) if after else ("", before)
    rows = ask(lambda client: client.release_diff(one, other), timeout_s=300.0)

    def drawn():
        from kedge.cli.render import diff_lines

        return diff_lines(rows) if rows else ["no difference for any node"]

    show(rows, output, drawn)


@release.command()
@click.argument("name")
@yes_option
def delete(name: str, yes: bool) -> None:
    """Forget release NAME, which no node may have."""
    confirmed(f"Release {name} is forgotten.", yes=yes)
    ask(lambda client: client.release_delete(name))
    say(f"release {name}: deleted")
