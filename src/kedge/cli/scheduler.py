"""``kedge scheduler``: what the batch system says of nodes, and handing drains back."""

from __future__ import annotations

from typing import Any

import click

from kedge.cli.acting import act
from kedge.cli.output import confirmed, show, tell
from kedge.cli.session import nodes_argument, output_option, yes_option


@click.group()
def scheduler() -> None:
    """Look at nodes as the batch system has them, and hand drains back.

    Kedge drains and resumes by itself, and never ends a drain that somebody else made.
    """


@scheduler.command()
@output_option
def status(output: str) -> None:
    """Show which nodes take jobs, who drained the others, and what is waited for."""
    rows: list[dict[str, Any]] = act("scheduler", "status", {})

    def drawn():
        from kedge.cli.render import records_table
        from kedge.lib.nodeset import fold

        columns = ["state", "drained_by", "release", "jobs", "notice"]
        groups: dict[tuple[str, ...], list[str]] = {}
        for row in rows:
            key = tuple(str(row[column] or "") for column in columns)
            groups.setdefault(key, []).append(row["node"])
        folded = [
            {"node": fold(names), **dict(zip(columns, key, strict=True))}
            for key, names in groups.items()
        ]
        return [records_table(folded, ["node", *columns])]

    show(rows, output, drawn)


@scheduler.command("give-back")
@nodes_argument()
@yes_option
@output_option
def give_back(nodes: str, yes: bool, output: str) -> None:
    """Let Kedge bring nodes back that it drained but left to a person.

    They return once their checks pass and they run what is configured.
    """
    confirmed(f"This lets {nodes} return to service once they are fit.", yes=yes)
    answer = act("scheduler", "give-back", {"nodes": nodes})
    tell(answer, output, f"{answer['nodes']}: Kedge brings them back when they are fit")


@scheduler.command()
@nodes_argument()
@yes_option
@output_option
def requeue(nodes: str, yes: bool, output: str) -> None:
    """Requeue the jobs that nodes still wait for while Kedge drains them."""
    confirmed(f"This ends the jobs on {nodes}; they begin anew elsewhere.", yes=yes)
    answer = act("scheduler", "requeue", {"nodes": nodes})
    tell(answer, output, f"{answer['nodes']}: requeued {', '.join(answer['jobs']) or 'nothing'}")
