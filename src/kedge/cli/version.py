"""``kedge version``: which version this is."""

from __future__ import annotations

import platform

import click

from kedge import __version__
from kedge.cli.output import show
from kedge.cli.session import output_option


@click.command()
@output_option
def version(output: str) -> None:
    """Show the version."""
    known = {"kedge": __version__, "python": platform.python_version()}
    show(known, output, lambda: [f"kedge {__version__} (Python {known['python']})"])
