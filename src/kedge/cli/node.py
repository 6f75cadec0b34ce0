"""``kedge node``: look at nodes, set their values, hold, release and retry them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kedge.cli.kinds import PhaseName
from kedge.cli.output import confirmed, console, say, show, tell, write
from kedge.cli.session import (
    F,
    ask,
    complete_groups,
    complete_nodes,
    complete_variables,
    nodes_argument,
    output_option,
    wait_options,
    yes_option,
)
from kedge.cli.values import parse_values

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from kedge.client.client import Client
    from kedge.shapes.paths import Preview

_dry_run = click.option("--dry-run", is_flag=True, help="Only show what would happen.")


@click.group()
def node() -> None:
    """Look at nodes, set values, hold and release them."""


@node.command("list")
@nodes_argument(required=False)
@click.option("--phase", multiple=True, type=PhaseName(),
              help="Only nodes in this phase (may be repeated).")  # fmt: skip
@click.option("--nodeset", "bare", is_flag=True, help="Print one nodeset and nothing else.")
@output_option
def list_(nodes: str, phase: tuple[str, ...], bare: bool, output: str) -> None:
    """List nodes as a nodeset, by phase.

    \b
    pdsh -w "$(kedge node list --phase quarantined --nodeset)" ...
    """
    from kedge.lib.nodeset import fold

    rows = [row for row in ask(lambda c: c.status(nodes)) if not phase or row.phase in phase]
    if bare:
        click.echo(fold(row.node for row in rows))
        return
    groups: dict[str, list[str]] = {}
    for row in rows:
        groups.setdefault(row.phase, []).append(row.node)

    def drawn():
        from kedge.cli.render import records_table

        if not rows:
            return [f"No node is {' or '.join(phase)}." if phase else "No nodes yet."]
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
    if dry_run:
        _foreseen(lambda client: client.foresee_values(nodes, values), output)
        return

    async def change(client: Client) -> tuple[dict[str, Any], int]:
        from kedge.cli.prospect import summary_lines
        from kedge.cli.render import diff_lines
        from kedge.cli.waiting import wait_converged

        found = await client.foresee_values(nodes, values)
        if output == "table":
            write(console(err=True), [*diff_lines(found.changes), *summary_lines(found.prospect)])
        if found.changes:
            confirmed(f"This changes what {found.nodes} should be.", yes=yes)
        answer = await client.set_values(nodes, values)
        code = await wait_converged(client, nodes, timeout_s) if wait else 0
        return answer, code

    answer, code = ask(change)
    tell(answer, output, f"{answer['nodes']}: set, revision {answer['revision']}")
    click.get_current_context().exit(code)


def _foreseen(question: Callable[[Client], Awaitable[Preview]], output: str) -> None:
    from kedge.cli.prospect import show_preview

    show_preview(ask(question), output)


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


def _scope(command: F) -> F:
    """Nodes, or a group, or all."""
    command = click.option("--all", "every", is_flag=True, help="The whole cluster.")(command)
    command = click.option(
        "--group", default="", shell_complete=complete_groups,
        help="A group, with the nodes that come into it later.",
    )(command)  # fmt: skip
    return nodes_argument(required=False)(command)


@node.command()
@_scope
@click.option("-r", "--reason", required=True, help="Why; shown wherever the nodes are.")
@_dry_run
@output_option
def hold(nodes: str, group: str, every: bool, reason: str, dry_run: bool, output: str) -> None:
    """Leave nodes, a group or the whole cluster alone until they are released.

    kedge node hold n7 --reason "broken fan"
    """
    if dry_run:
        _foreseen(lambda c: c.foresee_hold(nodes, reason, group=group, all=every), output)
        return
    answer = ask(lambda client: client.hold(nodes, reason, group=group, all=every))
    tell(answer, output, f"{answer['scope']}: held")


@node.command()
@_scope
@_dry_run
@output_option
def release(nodes: str, group: str, every: bool, dry_run: bool, output: str) -> None:
    """End holds that were put by command; one in the site's files ends with kedge apply.

    A hold of a group ends with --group, one of the cluster with --all.
    """
    from kedge.lib.nodeset import expand, fold

    if dry_run:
        _foreseen(lambda client: client.foresee_release(nodes, group=group, all=every), output)
        return
    answer = ask(lambda client: client.release(nodes, group=group, all=every))
    held: list[dict[str, Any]] = answer.get("held_by") or []
    kept = set(expand(answer["still_held"])) if answer.get("still_held") else set[str]()
    released = fold(name for name in expand(answer["nodes"]) if name not in kept)
    tell(answer, output, f"{released}: released" if released else "Nothing was released.")
    for entry in held:
        say(f"{entry['nodes']}: still held: {entry['origin']}. Next: {entry['next']}")


@node.command()
@nodes_argument()
@_dry_run
@output_option
def retry(nodes: str, dry_run: bool, output: str) -> None:
    """Try quarantined nodes again now."""
    if dry_run:
        _foreseen(lambda client: client.foresee_retry(nodes), output)
        return
    answer = ask(lambda client: client.retry(nodes))
    tell(answer, output, f"{answer['nodes']}: tried again")
