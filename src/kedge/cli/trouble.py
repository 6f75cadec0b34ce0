"""Exit statuses, and errors as a person or a program gets them: on stderr, in the chosen form."""

from __future__ import annotations

import json

import click

from kedge.cli.visible import visible
from kedge.lib.errors import KedgeError, KedgeErrors

DONE = 0
FAILED = 1
USAGE = 2
LATE = 3
TROUBLE = 4
UNREACHABLE = 5
INTERRUPTED = 130


def exit_code(error: KedgeError) -> int:
    """The exit status that an error leads to."""
    return UNREACHABLE if error.code in ("api.unreachable", "client.token") else FAILED


def report(error: KedgeError, arguments: list[str]) -> None:
    """Say what is wrong, where, why, and what to do; as JSON when the command line asks for it."""
    errors = error.errors if isinstance(error, KedgeErrors) else (error,)
    if wants_json(arguments):
        each = [one.as_dict() for one in errors]
        click.echo(json.dumps({"error": each[0], "errors": each}), err=True)
        return
    for one in errors:
        where = f"{one.where}: " if one.where else ""
        why = f" ({one.why})" if one.why else ""
        click.echo(click.style("kedge: ", fg="red") + visible(f"{where}{one.what}{why}"), err=True)
        if one.next_step:
            click.echo(visible(f"  next: {one.next_step}"), err=True)


def wants_json(arguments: list[str]) -> bool:
    """Whether ``-o json`` is on a command line that could not be carried out."""
    joined = " ".join(arguments)
    return any(form in joined for form in ("-o json", "-ojson", "--output json", "--output=json"))
