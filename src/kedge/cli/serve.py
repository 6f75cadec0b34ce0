"""``kedge serve``: the master and its API in one process, friendly to systemd and to terminals."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import socket
import sys
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kedge.cli.session import shared
from kedge.lib.errors import KedgeError

if TYPE_CHECKING:
    from kedge.core.module import Module
    from kedge.master.modules.loading import Source
    from kedge.master.operations.operations import Operations
    from kedge.master.process.settings import Settings

LOCK_FILE = "lock"
log = logging.getLogger("kedge")


@click.command()
@click.option("-v", "--verbose", is_flag=True, help="Say more in the log.")
@click.option(
    "--role",
    type=click.Choice(["master", "sub-master"]),
    help="What this machine is in the tree.  [default: as configured]",
)
def serve(verbose: bool, role: str | None) -> None:
    """Run Kedge in this terminal (or under systemd) until it is stopped.

    The log goes to stderr, one line for each message. SIGTERM and Ctrl-C end it in order; running
    nodes keep running. SIGHUP has it take up changed modules (kedge module reload).
    """
    run_master(verbose=verbose, role=role)


def run_master(
    *, verbose: bool, modules: Sequence[Module] | Source | None = None, role: str | None = None
) -> None:
    """Run the master until it is stopped, with ``modules`` in the place of the installed ones."""
    from kedge.master.process.settings import read_settings
    from kedge.master.serve import prepare_state_dir

    set_up_log(verbose=verbose)
    settings = read_settings(shared().config)
    settings = replace(settings, role=role or settings.role)
    prepare_state_dir(settings)
    with only_one(settings.state_dir):
        asyncio.run(_serve(settings, modules))


async def _serve(settings: Settings, modules: Sequence[Module] | Source | None) -> None:
    from kedge import __version__
    from kedge.api.server import api_serving
    from kedge.master.serve import serving

    stopping = asyncio.Event()
    reloads: set[asyncio.Task[None]] = set()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with serving(settings, modules) as operations, api_serving(operations, settings):
        log.info(
            "kedge %s serves %s, API at %s", __version__, settings.state_dir, settings.api_socket
        )
        loop.add_signal_handler(signal.SIGHUP, _reload, operations, reloads)
        notify("READY=1\nSTATUS=serving")
        beating = asyncio.create_task(_beat())
        await stopping.wait()
        beating.cancel()
        log.info("stopping")
        notify("STOPPING=1")
    log.info("stopped")


def _reload(operations: Operations, reloads: set[asyncio.Task[None]]) -> None:
    """SIGHUP: go over to the modules that are installed now."""

    async def work() -> None:
        try:
            told = await operations.modules.reload((), "SIGHUP")
        except KedgeError as error:
            log.error("the modules stay as they are: %s", error)
        else:
            log.info("modules: %s", told)

    task = asyncio.create_task(work())
    reloads.add(task)
    task.add_done_callback(reloads.discard)


async def _beat() -> None:
    """Tell systemd that the event loop is alive, twice in each period it asks for."""
    period_us = os.environ.get("WATCHDOG_USEC", "")
    if period_us.isdigit() and int(period_us) > 0:
        while True:
            notify("WATCHDOG=1")
            await asyncio.sleep(int(period_us) / 2e6)


def notify(state: str) -> bool:
    """Tell the service manager (sd_notify(3)); False when there is none."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return False
    where = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.sendto(state.encode(), where)
        except OSError as error:
            log.warning("the service manager does not listen: %s", error)
            return False
    return True


@contextlib.contextmanager
def only_one(state_dir: Path) -> Generator[None]:
    """Hold the state directory's lock; raises `KedgeError` when another process does.

    The kernel drops the lock when its holder dies, however it dies.
    """
    path = state_dir / LOCK_FILE
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise KedgeError(
            "serve.lock", "cannot open the lock file", where=str(path), why=error.strerror or "",
            next_step="Run it as the user that owns the state directory",
        ) from None  # fmt: skip
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
            raise KedgeError(
                "serve.running", "Kedge runs already on this state directory", where=str(state_dir),
                why=f"process {holder}" if holder else "",
                next_step="Look at it with kedge status, or set another state_dir",
            ) from None  # fmt: skip
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


PRIORITY = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}


class LineFormatter(logging.Formatter):
    """One line for each message; under systemd a priority in the place of the time (sd-daemon(3))."""

    def __init__(self, *, journal: bool) -> None:
        self._journal = journal
        shown = "%(name)s: %(message)s"
        super().__init__(shown if journal else f"%(asctime)s %(levelname).1s {shown}", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if self._journal:
            text = f"<{PRIORITY.get(record.levelname, 6)}>{text}"
        return text.replace("\n", " | ")


def set_up_log(*, verbose: bool) -> None:
    """Log to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(journal="JOURNAL_STREAM" in os.environ))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler])
    for noisy in ("asyncio", "aiohttp", "urllib3", "sushy", "pyghmi"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
