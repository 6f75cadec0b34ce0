"""The ``kedge`` command: which verbs there are, exit statuses, and how errors are shown.

Verbs are imported only when they are used, so that help and completion start fast.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import NoReturn

import click

from kedge import __version__
from kedge.cli.session import Shared
from kedge.cli.trouble import FAILED, INTERRUPTED, exit_code, report
from kedge.lib.errors import KedgeError
from kedge.lib.nearest import nearest

COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("init:init", "Make the configuration, the state directory, a token and a first site."),
    "serve": ("serve:serve", "Run Kedge in this terminal (or under systemd) until it is stopped."),
    "doctor": ("doctor:doctor", "Check this machine, and say how to mend what is wrong."),
    "apply": ("site:apply", "Make a folder of YAML the site, whole or not at all."),
    "diff": ("site:diff", "Show what applying a folder would change."),
    "status": (
        "status:status",
        "Show which state nodes are in, since when, why, and what is next.",
    ),
    "wait": ("wait:wait", "Wait until Kedge answers, or nodes have converged or run."),
    "node": ("node:node", "Look at nodes, set values, hold and release them."),
    "strangers": ("strangers:strangers", "List machines seen on the network that are in no file."),
    "plan": ("plan:plan", "Show the path of each node to what is configured, and why."),
    "why": ("why:why", "Show what led to what a node does now, from the log."),
    "budgets": ("budgets:budgets", "Show who uses what there is only so much of, and who waits."),
    "graph": ("plan:graph", "Draw the mutation graph, or show what mutations cost."),
    "module": ("module:module", "Look at modules, and go over to changed ones."),
    "events": ("events:events", "Show the log of all that happened, and follow it."),
    "power": ("power:power", "Switch nodes on and off, or cycle them."),
    "release": ("release:release", "Make releases, and look at what they bind."),
    "rollout": ("rollout:rollout", "Move nodes to a release in stages, and back."),
    "submaster": ("submaster:submaster", "Let sub-masters join, look at them, and forget them."),
    "ci": ("ci:ci", "Take what is pushed to git to a release and into a rollout."),
    "scheduler": (
        "scheduler:scheduler",
        "Look at nodes as the batch system has them, and hand drains back.",
    ),
    "image": ("image:image", "Import images and look at them."),
    "layer0": ("layer0:layer0", "Build the boot environment, and list what was built."),
    "secret": ("secret:secret", "Store credentials that the site names."),
    "sim": ("sim:sim", "Run Kedge on simulated machines, to try a site, a failure or commands."),
    "lab": ("lab:group", "Run a test cluster of virtual machines with real BMCs on this machine."),
    "completion": ("completion:completion", "Print the completion script of a shell."),
    "version": ("version:version", "Show the version."),
}

EPILOG = """\b
Exit status:
  0  done
  1  refused or failed; the error says what to do
  2  wrong usage
  3  not in time (kedge wait, --wait)
  4  it waits for a person: nodes are held, blocked or quarantined (kedge wait, --wait, --check), a node
     has no path (kedge plan), a rollout stopped (watch), a pipeline did not pass (kedge ci run, watch)
  5  cannot reach kedge serve
  130  interrupted

\b
Environment:
  KEDGE_CONFIG      the head's configuration file (/etc/kedge/kedge.yaml)
  KEDGE_API         a socket or URL, in place of the configuration's socket
  KEDGE_TOKEN_FILE  the file with the API token (<state_dir>/api.token)
"""


class Lazy(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        file, _, name = COMMANDS[cmd_name][0].partition(":")
        return getattr(importlib.import_module(f"kedge.cli.{file}"), name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does; a verb that there is not is told with the nearest one."""
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchOption:
            raise
        except click.UsageError as error:
            near = nearest(args[0], list(COMMANDS))
            hint = f" Did you mean {near}?" if near else ""
            raise click.UsageError(f"{error.message.rstrip('.')}.{hint}", ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.command(
    cls=Lazy,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="kedge")
@click.option("--api", metavar="WHERE", default="", help="Socket or URL of kedge serve.")
@click.option(
    "--config", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path),
    help="The head's configuration file.",
)  # fmt: skip
@click.pass_context
def cli(ctx: click.Context, api: str, config: Path | None) -> None:
    """Kedge hauls a cluster from bare metal to the running image, and keeps it there."""
    ctx.obj = Shared(api, config)


def main() -> NoReturn:
    """The console script."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line to its end; returns the exit status."""
    try:
        code = cli.main(arguments, prog_name="kedge", standalone_mode=False)
    except KedgeError as error:
        report(error, arguments)
        return exit_code(error)
    except click.exceptions.Abort as abort:
        if isinstance(abort.__cause__, KeyboardInterrupt):
            return INTERRUPTED
        click.echo("Nothing was done.", err=True)
        return FAILED
    except click.ClickException as error:
        error.show()
        _hint(error)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    return code if isinstance(code, int) else 0


def _hint(error: click.ClickException) -> None:
    """What those often mean who are used to other commands."""
    if isinstance(error, click.NoSuchOption) and error.option_name in ("-o", "--output"):
        click.echo("  next: options of a verb stand behind it: kedge status -o json", err=True)
    elif "unexpected extra argument" in error.message and "NODESET" in _usage(error):
        click.echo("  next: several nodes are one nodeset: n1,n2 or n[1-2]", err=True)


def _usage(error: click.ClickException) -> str:
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    return ctx.get_usage() if ctx is not None else ""


if __name__ == "__main__":
    main()
