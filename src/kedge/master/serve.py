"""Starting a master, and stopping it in order."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from functools import partial

from kedge.core.module import Module
from kedge.lib.errors import KedgeError
from kedge.master.assembly import Master, assemble
from kedge.master.engine.head import Head
from kedge.master.intent.wishes import Wishes
from kedge.master.modules.lanes import Lanes
from kedge.master.modules.loading import Installed, Source
from kedge.master.operations.operations import Operations
from kedge.master.persistence.retention import keep_short
from kedge.master.process.garbage import collect_seldom
from kedge.master.process.host import Host
from kedge.master.process.settings import Settings
from kedge.master.process.space import watch_space
from kedge.master.process.supervisor import Supervisor


def installed_modules() -> list[Module]:
    """All modules of the entry-point group, Kedge's own and third parties'."""
    return [found.module for found in Installed()(None)]


def prepare_state_dir(settings: Settings) -> None:
    """Make the state directory: others may pass through (the servers that Kedge starts under users
    of their own), not look into it. What is secret in it has a mode of its own."""
    os.umask(0o022)
    for path in (settings.state_dir, settings.state_dir / "blobs" / "sha256"):
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o711)
        except OSError as error:
            raise KedgeError(
                "state.directory", "cannot make the state directory", where=str(path),
                why=str(error), next_step="kedge init, or set state_dir in the configuration",
            ) from error  # fmt: skip


@asynccontextmanager
async def serving(
    settings: Settings, modules: Iterable[Module] | Source | None = None
) -> AsyncGenerator[Operations]:
    """A running master, for as long as the block lasts; raises `KedgeError` when it cannot start."""
    async with running(settings, modules, Host()) as master:
        yield master.operations


@asynccontextmanager
async def running(
    settings: Settings, modules: Iterable[Module] | Source | None, host: Host
) -> AsyncGenerator[Master]:
    """A running master on ``host``, with all its parts."""
    prepare_state_dir(settings)
    collect_seldom()
    store = host.open_store(settings.state_dir)
    lanes = Lanes()
    try:
        master = assemble(settings, modules, host, store, lanes)
        await master.link.open()
        await master.tree.open()
        try:
            _begin(master, settings, host)
            yield master
        finally:
            await _end(master)
    finally:
        lanes.close()
        store.close()


def _begin(master: Master, settings: Settings, host: Host) -> None:
    supervisor = master.supervisor
    master.journal.write("", "master", "start", cause=f"term {master.term}")
    configure_again(master.wishes, master.head, supervisor)
    master.tree.begin()
    supervisor.spawn("keep the engine's memory", master.memory.keep)
    supervisor.spawn("trim the log", partial(keep_short, master.store, host.clock, settings))
    supervisor.spawn("rollouts", master.rollouts.run)
    watch = partial(watch_space, host, settings.state_dir, supervisor.failing)
    supervisor.spawn("watch the space", watch)
    master.modules.start()
    if host.has_threads:
        master.watchdog.start()


async def _end(master: Master) -> None:
    master.watchdog.close()
    master.troubles.close()
    master.head.close()
    await master.io.carrier.close()
    master.tree.close()
    await master.supervisor.close()
    master.link.close()
    master.journal.write("", "master", "stop")
    master.journal.close()
    master.writes.close()
    master.memory.save()


def configure_again(wishes: Wishes, head: Head, supervisor: Supervisor) -> None:
    """Take the site as it was last committed. If this version refuses it, serve without: nodes run on,
    and everybody who looks is told."""
    try:
        site = wishes.start()
    except KedgeError as error:
        head.journal.write("", "service", "site", cause=str(error))
        supervisor.failing["site"] = f"{error}. Correct it and type: kedge apply"
        return
    if site is not None:
        head.configure(site)
