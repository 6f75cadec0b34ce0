"""``kedge rollout``: move nodes to a release in stages, watch it, decide where it asks, go back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from kedge.cli.output import confirmed, say, show, tell
from kedge.cli.session import ask, output_option, yes_option
from kedge.cli.trouble import TROUBLE

if TYPE_CHECKING:
    from kedge.client.client import Client
    from kedge.shapes.rollouts import RolloutDetail

STOPPED = ("paused", "aborted", "rolled_back")
OVER = ("done", "aborted", "rolled_back")
LOOK_S = 5.0

_name = click.argument("name")
_why = click.option("--why", default="", help="The reason, for the log and for who looks.")


@click.group()
def rollout() -> None:
    """Move nodes to a release in stages, and back.

    What a rollout does is described in the site's folder, in rollouts/NAME.yaml.
    """


@rollout.command()
@_name
@click.option(
    "--release", required=True, metavar="NAME", help="Which release the nodes shall have."
)
@click.option("--watch", "watching", is_flag=True, help="Stay and show what happens.")
@yes_option
@output_option
def start(name: str, release: str, watching: bool, yes: bool, output: str) -> None:
    """Begin to move nodes to a release, as rollouts/NAME.yaml says. See first: kedge rollout plan.

    kedge rollout start weekly --release 2026-12 --watch
    """
    confirmed(f"Nodes begin to move to release {release}.", yes=yes)
    found = ask(lambda client: client.rollout_start(name, release))
    if watching:
        _watch(name)
    else:
        began = f"rollout {name}: began; release {release} for {found.nodes} nodes"
        tell(found, output, began, f"See: kedge rollout watch {name}")


@rollout.command()
@click.argument("name", default="")
@output_option
def status(name: str, output: str) -> None:
    """Show all rollouts, or one with its stages, gates, waits and failed nodes."""
    from kedge.cli.rollout_drawing import rollout_lines, rollout_table

    if not name:
        rows = ask(lambda client: client.rollouts())
        show(rows, output, lambda: rollout_table(rows))
        return
    found = ask(lambda client: client.rollout_show(name))
    show(found, output, lambda: rollout_lines(found))


@rollout.command()
@_name
def watch(name: str) -> None:
    """Show what happens until the rollout is over; exit with 4 when it stops for a person."""
    _watch(name)


def _watch(name: str) -> None:
    found = ask(lambda client: _follow(client, name), timeout_s=60.0)
    if found.state in STOPPED:
        click.get_current_context().exit(TROUBLE)


async def _follow(client: Client, name: str) -> RolloutDetail:
    from kedge.cli.rollout_drawing import rollout_words
    from kedge.cli.waiting import news

    told = ""
    async with news(client) as heard:
        while True:
            heard.clear()
            found = await client.rollout_show(name)
            words = rollout_words(found)
            if words != told:
                told = words
                say(words)
            if found.state in OVER or found.state == "paused":
                return found
            await asyncio.sleep(1.0)
            try:
                async with asyncio.timeout(LOOK_S):
                    await heard.wait()
            except TimeoutError:
                continue


@rollout.command()
@_name
@click.option(
    "--release",
    default="",
    metavar="NAME",
    help="The release to move to, where the rollout does not run yet.",
)
@output_option
def plan(name: str, release: str, output: str) -> None:
    """Show how long a rollout takes, and how many nodes stay in service at every hour.

    It is played forward from how long the nodes' jobs may run and how long updates took so far; no
    new jobs, no failures, gates at their deadline, and approval at once are assumed.
    """
    from kedge.cli.rollout_drawing import plan_lines

    found = ask(lambda client: client.rollout_plan(name, release), timeout_s=180.0)
    show(found, output, lambda: plan_lines(found))


def _spoken(name: str, verb: str, why: str, output: str, *, accept: bool = False) -> None:
    from kedge.cli.rollout_drawing import rollout_words

    found = ask(lambda client: client.rollout_say(name, verb, why, accept=accept))
    tell(found, output, rollout_words(found))


@rollout.command()
@_name
@_why
@output_option
def approve(name: str, why: str, output: str) -> None:
    """Let the stage begin that waits for approval."""
    _spoken(name, "approve", why, output)


@rollout.command()
@_name
@_why
@output_option
def pause(name: str, why: str, output: str) -> None:
    """Give no more nodes the release; those that have it already get there."""
    _spoken(name, "pause", why, output)


@rollout.command()
@_name
@_why
@click.option(
    "--accept", is_flag=True, help="Take failed gates as passed, leave failed nodes behind."
)
@output_option
def resume(name: str, why: str, accept: bool, output: str) -> None:
    """Go on with a paused rollout: failed gates run again, failed nodes count again."""
    _spoken(name, "resume", why, output, accept=accept)


@rollout.command()
@_name
@_why
@yes_option
@output_option
def abort(name: str, why: str, yes: bool, output: str) -> None:
    """End a rollout for good; every node keeps the release that it has now."""
    confirmed(f"Rollout {name} ends; nodes stay as they are, on two releases.", yes=yes)
    _spoken(name, "abort", why, output)


@rollout.command()
@_name
@_why
@yes_option
@output_option
def rollback(name: str, why: str, yes: bool, output: str) -> None:
    """Give every node back the release that it had; also when the rollout is over."""
    confirmed(f"The nodes of rollout {name} go back to what they had.", yes=yes)
    _spoken(name, "rollback", why, output)
