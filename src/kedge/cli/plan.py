"""``kedge plan`` and ``kedge graph``: where nodes go and why, and all the ways there are."""

from __future__ import annotations

import click

from kedge.cli.output import show
from kedge.cli.session import ask, complete_nodes, nodes_argument, output_option
from kedge.cli.trouble import TROUBLE


@click.command()
@nodes_argument()
@click.option(
    "--to",
    multiple=True,
    metavar="VARIABLE=SYMBOL",
    help="Plan for this goal instead; nothing is done. May be repeated.",
)
@output_option
def plan(nodes: str, to: tuple[str, ...], output: str) -> None:
    """Show the path of each node to what is configured, and why; exit with 4 where there is none.

    With --to, the path to other goals: kedge plan n3 --to power.state=off
    """
    rows = ask(lambda client: client.plan(nodes, ",".join(to)))

    def drawn():
        from kedge.cli.render import plan_lines

        return [line for row in rows for line in plan_lines(row)]

    show(rows, output, drawn)
    if any(row.get("blocked_by") for row in rows):
        click.get_current_context().exit(TROUBLE)


@click.command()
@click.option("--style", type=click.Choice(["dot", "mermaid"]), default="dot", show_default=True)
@click.option("--module", default="", help="Only what this module declares.")
@click.option("--node", default="", shell_complete=complete_nodes, help="Mark where a node is.")
@output_option
def graph(style: str, module: str, node: str, output: str) -> None:
    """Draw the mutation graph: kedge graph | dot -Tsvg > graph.svg"""
    text = ask(lambda client: client.graph(style=style, module=module, node=node))
    if output == "table":
        click.echo(text)
    else:
        show({"style": style, "text": text}, output, lambda: ())
