"""``kedge init``: everything a new head needs, made once and never overwritten."""

from __future__ import annotations

import ipaddress
import sys
from dataclasses import dataclass
from pathlib import Path

import click

from kedge.cli.output import show
from kedge.cli.session import output_option
from kedge.lib.errors import KedgeError

DEFAULT_DIR = Path("/etc/kedge")
DEFAULT_STATE = Path("/var/lib/kedge")
UNIT = Path("/etc/systemd/system/kedge.service")


@dataclass(frozen=True)
class Made:
    """Where all lies, what was made, and what was there already."""

    config: str
    state_dir: str
    site: str
    made: list[str]
    kept: list[str]
    role: str = "master"


@click.command()
@click.argument("folder", metavar="[DIR]", default=DEFAULT_DIR, type=click.Path(path_type=Path))
@click.option("--state-dir", type=click.Path(path_type=Path),
              help="For the database, images, secrets and the API's token.  "
              "[default: /var/lib/kedge, or DIR/state for another DIR]")  # fmt: skip
@click.option(
    "--site",
    type=click.Path(path_type=Path),
    help="Where the first site is written.  [default: DIR/site]",
)
@click.option("--interface", default="", help="The interface of the provision network.")
@click.option(
    "--address", default="", help="The head's address there, with its prefix: 10.77.0.1/16"
)
@click.option("--role", type=click.Choice(["master", "sub-master"]), default="master",
              show_default=True, help="What this machine is in the tree.")  # fmt: skip
@click.option("--join", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="A sub-master's join file: kedge submaster add, on the master.")  # fmt: skip
@click.option("--systemd", is_flag=True, help=f"Make {UNIT} too.")
@output_option
def init(
    folder: Path, state_dir: Path | None, site: Path | None, interface: str, address: str,
    role: str, join: Path | None, systemd: bool, output: str,
) -> None:  # fmt: skip
    """Make kedge.yaml in DIR (default /etc/kedge), the state directory, a token and a first site.

    What is there already is left as it is.

    \b
      kedge init --systemd --interface eth1 --address 10.77.0.1/16
      kedge init --role sub-master --join sm1.join
      kedge init .                                          to try it in this folder
    """
    from kedge.api.access import make_token
    from kedge.cli.templates import configuration, first_site, unit

    if (role == "sub-master") != (join is not None):
        raise click.UsageError("--role sub-master and --join FILE go together")
    own, cidr = _split(address)
    folder = folder.absolute()
    state = (state_dir or (DEFAULT_STATE if folder == DEFAULT_DIR else folder / "state")).absolute()
    site_folder = (site or folder / "site").absolute()
    made: dict[str, bool] = {}
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o711)
        made[str(state / "api.token")] = make_token(state)
        config = folder / "kedge.yaml"
        made[str(config)] = _write_new(
            config, configuration(state, interface, own, join and join.absolute())
        )
        empty = not site_folder.exists() or not any(site_folder.iterdir())
        if empty and join is None:
            for name, text in first_site(site_folder, own, cidr).items():
                made[str(site_folder / name)] = _write_new(site_folder / name, text)
        if systemd:
            made[str(UNIT)] = _write_new(UNIT, unit(_own_command(), config))
    except OSError as error:
        raise KedgeError(
            "init.unwritable", "cannot write", where=str(error.filename or folder),
            why=error.strerror or str(error),
            next_step="Run it as root, or give another place: kedge init ./kedge",
        ) from None  # fmt: skip
    answer = Made(
        str(config),
        str(state),
        str(site_folder),
        made=[path for path, new in made.items() if new],
        kept=[path for path, new in made.items() if not new],
        role=role,
    )
    show(answer, output, lambda: _told(answer))


def _split(address: str) -> tuple[str, str]:
    """``10.77.0.1/16`` as the address and the network it is on."""
    if not address:
        return "", ""
    try:
        interface = ipaddress.ip_interface(address)
    except ValueError as error:
        raise click.UsageError(f"--address: {error}") from None
    single = interface.network.num_addresses == 1
    return str(interface.ip), "" if single else str(interface.network)


def _own_command() -> Path:
    """The ``kedge`` that runs now, in full; its environment's one when it was run as a module."""
    own = Path(sys.argv[0]).absolute()
    return own if own.name == "kedge" else Path(sys.executable).parent / "kedge"


def _write_new(path: Path, text: str) -> bool:
    """Write a file that is not there yet; False when it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x") as file:
            file.write(text)
    except FileExistsError:
        return False
    return True


def _told(answer: Made) -> list[str]:
    lines = [f"made  {path}" for path in answer.made] + [f"kept  {path}" for path in answer.kept]
    lines += ["", "Next:"]
    if answer.config != str(DEFAULT_DIR / "kedge.yaml"):
        lines.append(f"  export KEDGE_CONFIG={answer.config}")
    if answer.role == "sub-master":
        return [*lines, "  kedge doctor", "  kedge serve    (or: systemctl enable --now kedge)"]
    return [
        *lines,
        f"  edit {answer.config} and the files in {answer.site}",
        "  kedge doctor                 what this machine still needs",
        "  kedge secret set bmc         the BMCs' user name and password",
        "  kedge serve                  (or: systemctl enable --now kedge)",
        "  kedge layer0 build           the boot environment",
        f"  kedge apply {answer.site}",
        "  kedge status --watch",
    ]
