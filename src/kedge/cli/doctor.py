"""``kedge doctor``: what this machine needs to run Kedge, what is in the way, and how to mend it."""

from __future__ import annotations

import click

from kedge.cli.output import show
from kedge.cli.session import output_option, shared
from kedge.cli.trouble import FAILED


@click.command()
@click.option("--interface", default="", help="Look for rival DHCP servers on this interface.")
@output_option
def doctor(interface: str, output: str) -> None:
    """Check this machine: programs, ports, rival DHCP servers, clock, space, permissions.

    Exits with 1 when something must be mended. Rival DHCP servers are looked for only on the
    interface given here or in the configuration (boot.interface): one DISCOVER is sent there.
    """
    from kedge.cli.checks import BAD, all_findings

    findings = all_findings(shared(), interface)

    def drawn():
        from rich.text import Text

        colours = {"good": "green", "note": "yellow", "bad": "bold red"}
        for found in findings:
            line = Text(f"{found.verdict:<5}", style=colours[found.verdict])
            line.append(f" {found.check}: ", style="bold").append(found.what, style="")
            yield line
            if found.mend:
                yield Text(f"      mend: {found.mend}", style="cyan")

    show(findings, output, drawn)
    if any(found.verdict == BAD for found in findings):
        click.get_current_context().exit(FAILED)
