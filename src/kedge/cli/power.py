"""``kedge power``: the configured power state, and a one-time cycle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kedge.cli.output import asking, confirmed, console, show, tell, write
from kedge.cli.session import ask, nodes_argument, output_option, wait_options, yes_option

if TYPE_CHECKING:
    from collections.abc import Callable

    from kedge.client.client import Client

DISRUPTIVE = {
    "off": "switches off {nodes}: what runs there ends",
    "cycle": "switches {nodes} off and on again: what runs there ends",
}


@click.group()
def power() -> None:
    """Switch nodes on and off, or cycle them.

    On and off set the configured state, and stay set; a cycle is done once.
    """


def _changing(action: str) -> Callable[..., None]:
    def command(
        nodes: str, yes: bool, dry_run: bool, wait: bool, timeout_s: float, output: str
    ) -> None:
        if dry_run:
            _preview(nodes, action, output)
            return
        if action in DISRUPTIVE:
            if asking(yes=yes):
                _tell_summary(nodes, action)
            confirmed(f"This {DISRUPTIVE[action].format(nodes=nodes)}.", yes=yes)

        async def change(client: Client) -> tuple[dict[str, Any], int]:
            from kedge.cli.waiting import wait_converged

            answer = await client.power(nodes, action)
            code = await wait_converged(client, nodes, timeout_s) if wait else 0
            return answer, code

        answer, code = ask(change)
        verb = "is cycled" if action == "cycle" else f"is configured {action}"
        tell(answer, output, f"{answer['nodes']} {verb}")
        click.get_current_context().exit(code)

    return command


def _tell_summary(nodes: str, action: str) -> None:
    from kedge.cli.prospect import summary_lines

    found = ask(lambda client: client.foresee_power(nodes, action))
    write(console(err=True), summary_lines(found.prospect))


def _preview(nodes: str, action: str, output: str) -> None:
    from kedge.cli.prospect import show_preview

    show_preview(ask(lambda client: client.foresee_power(nodes, action)), output)


for _action, _help in (
    ("on", "Configure nodes as on: they boot what is configured."),
    ("off", "Configure nodes as off: gracefully, and hard where that does not help."),
    ("cycle", "Pass once through off, then go back to what is configured."),
):
    _command = click.command(_action, help=_help)(
        nodes_argument()(
            yes_option(
                click.option("--dry-run", is_flag=True, help="Only show what would happen.")(
                    wait_options(output_option(_changing(_action)))
                )
            )
        )
    )
    power.add_command(_command)


@power.command()
@nodes_argument(required=False)
@output_option
def status(nodes: str, output: str) -> None:
    """Show the configured and the discovered power state."""
    rows = ask(lambda client: client.status(nodes))
    found = [
        {
            "node": row.node,
            "power": row.power,
            "configured": row.goals.get("power.state", ""),
            "why": next((why for key, why in row.failures.items() if key.startswith("power.")), ""),
        }
        for row in rows
    ]

    def drawn():
        from kedge.cli.render import records_table
        from kedge.lib.nodeset import fold

        groups: dict[tuple[str, ...], list[str]] = {}
        for row in found:
            groups.setdefault((row["power"], row["configured"], row["why"]), []).append(row["node"])
        folded = [
            {"node": fold(names), "power": key[0], "configured": key[1], "why": key[2]}
            for key, names in groups.items()
        ]
        return [records_table(folded, ["node", "power", "configured", "why"])]

    show(found, output, drawn)
