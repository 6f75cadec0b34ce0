"""The checks of ``kedge doctor``: each looks at one thing and says what it found and how to mend it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kedge.cli.checks.finding import BAD, GOOD, NOTE, Finding, good, note
from kedge.lib.errors import KedgeError

if TYPE_CHECKING:
    from kedge.cli.session import Shared
    from kedge.master.process.settings import Settings

__all__ = ["BAD", "GOOD", "NOTE", "Finding", "all_findings"]


def all_findings(options: Shared, interface: str = "") -> list[Finding]:
    """Everything found, in the order in which one would mend it."""
    from kedge.master.process.settings import read_settings

    try:
        settings = read_settings(options.config)
    except KedgeError as error:
        return [Finding("configuration", BAD, str(error), error.next_step)]
    return list(_findings(options, settings, interface))


def _findings(options: Shared, settings: Settings, interface: str) -> Iterator[Finding]:
    from kedge.cli.checks import files, machine, network, programs, running

    serving, up = running.check_socket(options)
    yield good("configuration", f"state directory {settings.state_dir}")
    yield serving
    yield from programs.check_programs(settings)
    yield from machine.check_permissions()
    yield machine.check_clock()
    yield files.check_space(settings.state_dir)
    yield from files.check_modes(settings)
    yield from network.check_ports(settings, serving=up)
    chosen = interface or network.configured_interface(settings)
    if chosen:
        from kedge.cli.checks.rivals import check_rivals

        yield check_rivals(chosen)
    else:
        yield note(
            "dhcp rivals", "not looked for", "Name the interface: kedge doctor --interface eth1"
        )
