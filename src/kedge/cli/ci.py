"""``kedge ci``: from a git push to the first stage of a rollout."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kedge.cli.output import say, show
from kedge.cli.session import output_option, shared
from kedge.cli.trouble import TROUBLE

if TYPE_CHECKING:
    from kedge.ci.keeping import Status
    from kedge.client.client import Client

LOOK_S = 0.5
TIMEOUT_S = 300.0
UNDER_WAY = ("waiting", "running")

_repository = click.argument(
    "repository", type=click.Path(exists=True, file_okay=False, path_type=Path)
)
_ref = click.option("--ref", default="main", show_default=True, help="The branch.")
_site = click.option("--site", default="", help="The site's folder in the repository.")


@click.group()
def ci() -> None:
    """Take what is pushed to a git repository to a release, and into a rollout's first stage.

    The steps stand in ci.yaml of the site's folder. See: docs/howto/continuous-delivery.md
    """


@ci.command()
@_repository
@_ref
@_site
@click.option("--commit", default="", help="This commit of the branch, in place of its newest.")
@click.option("--detach", is_flag=True, help="Return at once; see kedge ci watch.")
def run(repository: Path, ref: str, site: str, commit: str, detach: bool) -> None:
    """Run the pipeline for the newest commit of a branch; exit with 4 when it does not pass."""
    from kedge.ci.git import commit_of
    from kedge.ci.running import Push
    from kedge.ci.running import run as run_push

    repository = repository.resolve()
    if detach:
        _detach(repository)
        return
    push = Push(repository, ref, site)
    chosen = commit or commit_of(repository, ref)
    status = asyncio.run(run_push(push, chosen, _connect(), say))
    if status.state not in ("passed", "superseded"):
        click.get_current_context().exit(TROUBLE)


def _connect():
    options = shared()

    def connect() -> Client:
        from kedge.client.client import Client
        from kedge.client.endpoint import find_endpoint

        return Client(find_endpoint(options.api, options.config), timeout_s=TIMEOUT_S)

    return connect


def _detach(repository: Path) -> None:
    """The same command again, with nobody waiting for it."""
    words = [word for word in sys.argv[1:] if word != "--detach"]
    log = repository / "kedge-ci" / "detached.log"
    log.parent.mkdir(exist_ok=True)
    environment = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
    with log.open("ab") as file:
        subprocess.Popen(
            [sys.executable, "-m", "kedge.cli.main", *words],
            stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True,
            env=environment,
        )  # fmt: skip
    say(f"kedge ci: begun; see: kedge ci watch {repository}")


@ci.command()
@_repository
@_ref
@_site
@click.option("--every", "every_s", type=click.FloatRange(min=1), metavar="SECONDS", default=60.0,
              show_default=True, help="How often to look.")  # fmt: skip
def poll(repository: Path, ref: str, site: str, every_s: float) -> None:
    """Look at a branch again and again, and run the pipeline whenever it has a new commit."""
    from kedge.ci.git import commit_of
    from kedge.ci.keeping import Kept
    from kedge.ci.running import Push
    from kedge.ci.running import run as run_push

    push = Push(repository.resolve(), ref, site)
    while True:
        commit = commit_of(push.repository, ref)
        known = {status.commit for status in Kept(push.repository).every()}
        if commit not in known:
            asyncio.run(run_push(push, commit, _connect(), say))
        time.sleep(every_s)


@ci.command()
@_repository
@click.option("--ref", "branch", default="main", show_default=True, help="The branch.")
@_site
def hook(repository: Path, branch: str, site: str) -> None:
    """Have every push to a bare repository begin a run, by its post-receive hook."""
    from kedge.ci.hook import hook_text, install_hook

    repository = repository.resolve()
    options = [*(["--api", shared().api] if shared().api else [])]
    options += ["--config", str(shared().config)] if shared().config else []
    text = hook_text(_kedge(), options, repository, branch, site)
    say(f"wrote {install_hook(repository, text)}")


def _kedge() -> str:
    """The path of this very command, as a hook has no PATH to rely on."""
    own = Path(sys.argv[0]).resolve()
    beside = Path(sys.executable).with_name("kedge")
    return str(own if own.name == "kedge" else beside)


@ci.command()
@_repository
@click.argument("number", type=int, default=0)
@output_option
def status(repository: Path, number: int, output: str) -> None:
    """Show all runs of a repository, or the steps of one."""
    from kedge.ci.keeping import Kept

    kept = Kept(repository)
    if number:
        found = kept.status(number)
        show(found, output, lambda: _lines(found))
        return
    every = kept.every()
    show(every, output, lambda: _table(every))


@ci.command()
@_repository
@click.argument("number", type=int, default=0)
def watch(repository: Path, number: int) -> None:
    """Follow a run (default: the newest) to its end; exit with 4 when it does not pass."""
    from kedge.ci.keeping import Kept

    kept = Kept(repository)
    told: set[tuple[str, str]] = set()
    while True:
        numbers = kept.numbers()
        if number or numbers:
            found = kept.status(number or numbers[-1])
            for step in found.steps:
                if step.state != "to come" and (step.name, step.state) not in told:
                    told.add((step.name, step.state))
                    say(f"run {found.run}: {step.name}: {step.state}")
            if found.state not in UNDER_WAY:
                break
        time.sleep(LOOK_S)
    say(f"run {found.run}: {found.state}{': ' + found.why if found.why else ''}")
    if found.state not in ("passed", "superseded"):
        click.get_current_context().exit(TROUBLE)


def _table(every: list[Status]):
    from kedge.cli.render import clock, table

    drawn = table("run", "commit", "began", "state", "release", "rollout", "why")
    for one in every:
        began = clock(one.began) if one.began else ""
        drawn.add_row(
            str(one.run), one.commit[:12], began, one.state, one.release, one.rollout, one.why
        )
    return [drawn] if every else ["no runs yet: kedge ci run REPOSITORY"]


def _lines(found: Status):
    yield f"run {found.run} of {found.commit} ({found.ref}): {found.state}"
    if found.why:
        yield f"  {found.why}"
    for step in found.steps:
        log = f" (log: {step.log})" if step.log else ""
        yield f"  {step.name}: {step.state} {step.seconds:.1f} s{log}"
