"""``kedge sim run`` and ``kedge sim soak``: whole clusters in virtual time, with what goes wrong in them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kedge.cli.output import console, say, show
from kedge.cli.session import output_option
from kedge.cli.trouble import FAILED

if TYPE_CHECKING:
    from rich.console import RenderableType

    from kedge.sim.runs.result import Progress, Result
    from kedge.sim.scenarios.choosing import Choice
    from kedge.sim.scenarios.scenario import Scenario

TOLD_EVERY_S, LOGGED_EVERY_S = 0.5, 30.0


@click.command("run")
@click.option("--nodes", type=click.IntRange(1, 100_000), help="How many nodes.  [default: 20]")
@click.option("--racks", type=click.IntRange(1, 10_000), help="In how many racks.")
@click.option("--seed", type=int, help="All chance comes from this number.  [default: 1]")
@click.option(
    "--hours",
    type=click.FloatRange(0.0, 10_000.0),
    metavar="HOURS",
    help="How long things go wrong.  [default: 1, or what the scenario says]",
)
@click.option(
    "--faults",
    type=click.IntRange(0, 10_000),
    metavar="COUNT",
    help="How many faults fall by chance.  [default: 10; with --scenario 0]",
)
@click.option(
    "--scenario",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="What happens, and what must be so.",
)
@click.option(
    "--site",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="A site's folder, in the place of a made-up one.",
)
@click.option(
    "--jobs",
    type=click.FloatRange(0.0, 1.0),
    metavar="SHARE",
    help="The share of nodes that jobs keep busy.  [default: 0; with --rollout 0.9]",
)
@click.option(
    "--job-hours",
    type=click.FloatRange(0.02, 1000.0),
    metavar="HOURS",
    help="How long a job may take.  [default: 0.25]",
)
@click.option(
    "--rollout",
    metavar="NAME|FILE",
    default="",
    help="Roll a release once every node is up: a rollout of the site, or one in a file.",
)
@click.option(
    "--release",
    metavar="REF|FOLDER",
    default="",
    help="What the release is made of.  [default: the site as it is, with new builds of its images]",
)
@click.option("--drawn", is_flag=True, help="Draw cluster, faults and commands all from the seed.")
@click.option("--gentle", is_flag=True, help="The same, with short faults that may cost no boot.")
@click.option("--rolling", is_flag=True, help="The same, with a rollout.")
@click.option("--only", metavar="NUMBERS", default="", help="Of all that happens, only these: 3,17")
@click.option(
    "--shrink/--no-shrink",
    default=True,
    show_default=True,
    help="Find the few faults that matter when a run fails.",
)
@click.option(
    "--save",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write what happened as a scenario, shrunk if the run failed.",
)
@output_option
def run_once(
    nodes: int | None, racks: int | None, seed: int | None, hours: float | None,
    faults: int | None, scenario: Path | None, site: Path | None, jobs: float | None,
    job_hours: float | None, rollout: str, release: str, drawn: bool, gentle: bool, rolling: bool,
    only: str, shrink: bool, save: Path | None, output: str,
) -> None:  # fmt: skip
    """Run a cluster in virtual time against faults: to try a site, a change or a failure beforehand.

    Head, agents, engine, sync and modules are the ones that run in production; machines, BMCs, networks,
    disks and registries are simulated. Things go wrong for a while, then all faults end, and every node
    must converge. Exits with 1 when it does not, or when a rule was broken on the way.

    With --rollout a release is made and rolled, and what it costs is told: how long it takes, the
    node-hours lost, the most nodes out at once, who is left. A simulated person approves its stages and
    helps when it stops. Exits with 1, too, when it does not end as done.

    \b
      kedge sim run --nodes 1000 --seed 7 --hours 2
      kedge sim run --scenario tests/scenarios/rack-power-loss.yaml
      kedge sim run --site site/ --faults 30
      kedge sim run --site site/ --rollout weekly --release next-week --faults 10
    """
    from kedge.cli.folder import read_folder
    from kedge.sim.scenarios.choosing import Choice

    choice = Choice(
        seed=seed, nodes=nodes, racks=racks, hours=hours, faults=faults, drawn=drawn, gentle=gentle,
        rolling=rolling, jobs=jobs, job_hours=job_hours, only=_numbers(only),
        scenario=str(scenario or ""), text=scenario.read_text() if scenario else "",
        site=str(site or ""), files=read_folder(site) if site else {},
        rollout=rollout, rollout_text=Path(rollout).read_text() if Path(rollout).is_file() else "",
        release=release, release_files=_release_files(release, site),
    )  # fmt: skip
    code = _run(choice, output, shrinks=shrink, save=save)
    click.get_current_context().exit(code)


@click.command()
@click.option("--minutes", type=click.FloatRange(0.0), default=10.0, show_default=True,
              help="How long to look for one.")  # fmt: skip
@click.option("--first", type=int, default=1, show_default=True, help="The first seed.")
@click.option("--seeds", type=click.IntRange(0), default=0, help="How many (0: as time allows).")
@click.option("--rolling", is_flag=True, help="Worlds in which a release rolls.")
@output_option
def soak(minutes: float, first: int, seeds: int, rolling: bool, output: str) -> None:
    """Run one small drawn world after the other, and stop at the first that fails.

    Each seed is ``kedge sim run --drawn --seed SEED`` (or ``--rolling``). Exits with 1 when one failed.
    """
    from kedge.sim.scenarios.choosing import Choice

    until, seed = time.monotonic() + minutes * 60.0, first
    while time.monotonic() < until and not (seeds and seed >= first + seeds):
        choice = Choice(seed=seed, drawn=not rolling, rolling=rolling)
        code = _run(choice, output, quiet=True)
        if code:
            click.get_current_context().exit(code)
        seed += 1
    say(f"{seed - first} seeds, {first} to {seed - 1}: all well")


def _release_files(release: str, site: Path | None) -> dict[str, str]:
    """The files of a release: of a folder, or of the site's folder in a commit; raises `KedgeError`."""
    from kedge.ci.git import read_commit
    from kedge.cli.folder import read_folder

    if not release:
        return {}
    if Path(release).is_dir():
        return read_folder(Path(release))
    if site is None:
        raise click.UsageError(f"--release {release} is no folder, and there is no --site with it")
    return read_commit(site, release)[0]


def _numbers(only: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in only.split(",") if word.strip())
    except ValueError:
        raise click.UsageError(f"--only takes numbers, as in 3,17; not {only!r}") from None


def _run(
    choice: Choice, output: str, *, shrinks: bool = True, save: Path | None = None,
    quiet: bool = False,
) -> int:  # fmt: skip
    """Run it, show what came of it, and return the exit status."""
    from kedge.master.serve import installed_modules
    from kedge.sim.runs.run import run
    from kedge.sim.scenarios.choosing import choose

    scenario = choose(choice, installed_modules())
    result = run(scenario, tell=_teller(f"seed {scenario.seed}"))
    kept = scenario
    if result.violations and shrinks:
        kept = _shrunk(scenario, result)
    if save is not None:
        from kedge.sim.scenarios.scenario import write_scenario

        save.write_text(write_scenario(kept))
    if result.violations or not quiet:
        again = choice.command(kept.numbers) if result.violations else ""
        show({**result.as_dict(), "again": again, "happened": [str(h) for h in _all(kept)]},
             output, lambda: _lines(result, kept, again))  # fmt: skip
    stopped = choice.rollout and any(one.state != "done" for one in result.rollouts)
    return FAILED if result.violations or stopped or (choice.rollout and not result.rollouts) else 0


def _all(scenario: Scenario):
    return sorted((*scenario.faults, *scenario.commands), key=lambda h: (h.at_s, h.number))


def _shrunk(scenario: Scenario, result: Result) -> Scenario:
    from kedge.sim.runs.run import run
    from kedge.sim.runs.shrink import shrink

    runs = 0

    def fails(smaller: Scenario) -> bool:
        nonlocal runs
        runs += 1
        show_status(f"failed; looking for the faults that matter: run {runs}")
        return run(smaller).rule == result.rule

    found = shrink(scenario, fails)
    show_status("")
    return found


def _teller(what: str) -> Callable[[Progress], None]:
    """Tells of the progress: a terminal twice a second, a log twice a minute."""
    is_terminal = sys.stderr.isatty()
    every_s = TOLD_EVERY_S if is_terminal else LOGGED_EVERY_S
    told_at = time.monotonic()

    def tell(progress: Progress) -> None:
        nonlocal told_at
        if time.monotonic() - told_at < every_s:
            return
        told_at = time.monotonic()
        if not is_terminal:
            say(f"{what}: {_progress(progress)}")
        else:
            show_status(f"{what}: {_progress(progress)}")

    return tell


def _progress(progress: Progress) -> str:
    from kedge.sim.happening import clock

    phases = ", ".join(f"{count} {phase}" for phase, count in progress.phases.items())
    doing = {
        "coming up": "coming up",
        "faults": f"of {clock(progress.lasts_s)}, {progress.open_faults} faults under way",
        "healed": "all faults are over",
        "quiet": "all is well; nothing may move",
    }[progress.phase]
    return "; ".join((f"{clock(progress.now_s)} {doing}", *progress.rollouts, phases))


def show_status(text: str) -> None:
    """Show a line that the next one replaces; nothing where nobody looks."""
    if sys.stderr.isatty():
        width = console(err=True).width - 1
        click.echo(f"\r{text[:width]:<{width}}\r", nl=False, err=True)


def _lines(result: Result, kept: Scenario, again: str) -> Iterator[RenderableType]:
    from kedge.cli.simulated import summary_lines

    yield from summary_lines(result)
    if not result.violations:
        return
    for violation in result.violations:
        yield f"BROKEN RULE  {violation}"
    yield "What matters:"
    for happening in _all(kept):
        yield f"  {happening}"
    yield f"Again: {again}"
