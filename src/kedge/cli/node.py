"""``kedge node``: look at nodes, set their values, hold, release and retry them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kedge.cli.output import confirmed, console, say, show, write
from kedge.cli.session import (
    ask,
    complete_nodes,
    complete_variables,
    nodes_argument,
    output_option,
    wait_options,
    yes_option,
)
from kedge.cli.values import parse_values
from kedge.shapes.nodes import PHASES

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from kedge.client.client import Client

_dry_run = click.option("--dry-run", is_flag=True, help="Only show what would change.")


class PhaseName(click.ParamType):  # pyright: ignore[reportMissingTypeArgument]
    """One of the phases; a word that is none is refused with those that are, the nearest first."""

    name = "phase"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from difflib import SequenceMatcher

        def likeness(phase: str) -> float:
            return SequenceMatcher(None, str(value), phase).ratio()

        if value not in PHASES:
            near = sorted(PHASES, key=lambda phase: -likeness(phase))
            self.fail(f"{value!r} is no phase. Valid, nearest first: {', '.join(near)}", param, ctx)
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(name) for name in PHASES if name.startswith(incomplete)]


@click.group()
def node() -> None:
    """Look at nodes, set values, hold and release them."""


@node.command("list")
@nodes_argument(required=False)
@click.option("--phase", multiple=True, type=PhaseName(),
              help="Only nodes in this phase (may be repeated).")  # fmt: skip
@output_option
def list_(nodes: str, phase: tuple[str, ...], output: str) -> None:
    """List nodes as a nodeset, by phase."""
    from kedge.lib.nodeset import fold

    rows = [row for row in ask(lambda c: c.status(nodes)) if not phase or row.phase in phase]
    groups: dict[str, list[str]] = {}
    for row in rows:
        groups.setdefault(row.phase, []).append(row.node)

    def drawn():
        from kedge.cli.render import records_table

        found = [
            {"nodes": fold(names), "count": len(names), "phase": name}
            for name, names in groups.items()
        ]
        return [records_table(found, ["nodes", "count", "phase"])]

    show([row.node for row in rows], output, drawn)


@node.command("show")
@click.argument("name", metavar="NODE", shell_complete=complete_nodes)
@click.option("--origin", is_flag=True, help="Only configured values, with where each is written.")
@output_option
def show_(name: str, origin: bool, output: str) -> None:
    """Show all that is known of NODE: what it should be and why, what it was last seen to be."""
    found = ask(lambda client: client.node(name))
    shown = found["configured"] if origin else found

    def drawn():
        from kedge.cli.sheet import node_sheet, origin_table

        return [origin_table(found["configured"])] if origin else node_sheet(found)

    show(shown, output, drawn)


def _change(
    nodes: str,
    values: dict[str, Any],
    *,
    yes: bool,
    dry_run: bool,
    wait: bool,
    timeout_s: float,
    output: str,
) -> None:
    async def change(client: Client) -> tuple[dict[str, Any], int]:
        from kedge.cli.render import diff_lines
        from kedge.cli.waiting import wait_converged

        preview = await client.set_values(nodes, values, dry_run=True)
        if dry_run:
            return preview, 0
        if output == "table":
            write(console(err=True), diff_lines(preview["changes"]))
        if preview["changes"]:
            confirmed(f"This changes what {preview['nodes']} should be.", yes=yes)
        answer = await client.set_values(nodes, values)
        code = await wait_converged(client, nodes, timeout_s) if wait else 0
        return answer, code

    from kedge.cli.render import preview_lines

    answer, code = ask(change)
    if dry_run or output != "table":
        show(answer, output, lambda: preview_lines(answer))
    else:
        say(f"{answer['nodes']}: set, revision {answer['revision']}")
    click.get_current_context().exit(code)


@node.command("set")
@nodes_argument()
@click.argument("values", metavar="VARIABLE=VALUE...", nargs=-1, required=True,
                shell_complete=complete_variables)  # fmt: skip
@yes_option
@_dry_run
@wait_options
@output_option
def set_(nodes: str, values: tuple[str, ...], **options: Any) -> None:
    """Set configured values on nodes: kedge node set n[1-4] power.state=on

    A value in brackets is YAML: boot.args='[quiet, "console=ttyS1"]'. What is set here goes before
    the site's files until it is unset.
    """
    _change(nodes, parse_values(values), **options)


@node.command()
@nodes_argument()
@click.argument("variables", metavar="VARIABLE...", nargs=-1, required=True,
                shell_complete=complete_variables)  # fmt: skip
@yes_option
@_dry_run
@wait_options
@output_option
def unset(nodes: str, variables: tuple[str, ...], **options: Any) -> None:
    """Take values back that were set: what the site's files say counts again."""
    _change(nodes, dict.fromkeys(variables), **options)


@node.command()
@nodes_argument()
@click.option("-r", "--reason", required=True, help="Why; shown wherever the node is.")
@output_option
def hold(nodes: str, reason: str, output: str) -> None:
    """Leave nodes alone until they are released."""
    answer = ask(lambda client: client.hold(nodes, reason))
    _told(answer, output, f"{answer['nodes']}: held")


@node.command()
@nodes_argument()
@output_option
def release(nodes: str, output: str) -> None:
    """End holds that were put by command; one in the site's files ends with kedge apply."""
    from kedge.lib.nodeset import expand, fold

    answer = ask(lambda client: client.release(nodes))
    held: list[dict[str, Any]] = answer.get("held_by") or []
    kept = set(expand(answer["still_held"])) if answer.get("still_held") else set[str]()
    released = fold(name for name in expand(answer["nodes"]) if name not in kept)
    _told(answer, output, f"{released}: released" if released else "Nothing was released.")
    for entry in held:
        say(
            f"{entry['nodes']}: still held by the site: {entry['origin']}. "
            "Take hold out there, then: kedge apply"
        )


@node.command()
@nodes_argument()
@output_option
def retry(nodes: str, output: str) -> None:
    """Try quarantined nodes again now."""
    answer = ask(lambda client: client.retry(nodes))
    _told(answer, output, f"{answer['nodes']}: tried again")


def _told(answer: dict[str, Any], output: str, words: str) -> None:
    if output == "table":
        say(words)
    else:
        show(answer, output, lambda: ())
