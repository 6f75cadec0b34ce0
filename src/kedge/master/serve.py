"""Putting a master together from its parts, starting it, and stopping it in order."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from kedge.core.graph import Graph
from kedge.core.module import Module
from kedge.lib.errors import KedgeError
from kedge.master.duties import DutyEntries, place_duties
from kedge.master.garbage import collect_seldom
from kedge.master.head import Head
from kedge.master.host import Host
from kedge.master.intent import Wishes
from kedge.master.io import MasterIo
from kedge.master.journal import Journal
from kedge.master.lanes import Lanes
from kedge.master.late_writes import LateWrites
from kedge.master.link import Link
from kedge.master.loading import Installed, Source, given
from kedge.master.looking import Looks
from kedge.master.memory import Memory
from kedge.master.modules import Modules, graph_of
from kedge.master.neighbours import Neighbours
from kedge.master.operations import Operations
from kedge.master.permits import Permits, next_term
from kedge.master.previews import Previews
from kedge.master.records import send_records
from kedge.master.release_operations import ReleaseOperations
from kedge.master.releases import Releases
from kedge.master.retention import keep_short
from kedge.master.rollout_operations import RolloutOperations
from kedge.master.rollouts import Rollouts
from kedge.master.settings import Settings
from kedge.master.supervisor import Supervisor
from kedge.master.tree.wiring import Grown, admit_again, grow, secrets_of
from kedge.master.troubles import Troubles
from kedge.master.watchdog import Watchdog
from kedge.stores.port import Store


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


@dataclass(frozen=True, slots=True)
class Master:
    """The parts of a running master."""

    head: Head
    link: Link
    io: MasterIo
    wishes: Wishes
    store: Store
    supervisor: Supervisor
    operations: Operations


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
        failing: dict[str, str] = {}
        journal = Journal(store, host.clock, failing)
        troubles = Troubles(journal, failing)
        source = source_of(modules)
        loaded = source(None)
        graph = graph_of(loaded, troubles)
        place_duties(graph, settings.state_dir)
        term = next_term(store)
        engine = host.engine(graph, term)
        memory = Memory(engine, store)
        writes = LateWrites(store, failing)
        head = Head(graph, engine, host.clock, journal)
        supervisor = Supervisor(
            lambda name, why: journal.write("", "service", name, cause=why), failing
        )
        permits = Permits(writes, term, host.random_bytes)
        neighbours = Neighbours(head, permits)
        link = Link(settings, writes, host, term, neighbours.told)
        neighbours.reported = link.parent.discovered
        named = secrets_of(settings, host)
        io = MasterIo(settings, head, link, permits, named, lanes, supervisor, troubles)
        releases = Releases(store, graph, host.clock, journal)
        wishes = Wishes(store, graph, host.clock, journal, head, releases)
        operations = Operations(head, wishes, io, store, journal, supervisor, host.random_bytes)
        operations.releases = ReleaseOperations(releases, wishes, io)
        operations.looks = Looks(head, store)
        operations.previews = Previews(head, wishes)

        def take(graph: Graph) -> None:
            head.configured = partial(send_records, head, link, DutyEntries(graph))
            io.manners.adopt(graph)

        take(graph)
        operations.modules = running_modules = Modules(
            source,
            loaded,
            settings,
            head,
            wishes,
            io,
            io.carrier,
            journal,
            supervisor,
            troubles,
            take,
        )
        watchdog = Watchdog(running_modules.folders, troubles.note)
        rollouts = Rollouts(
            store,
            wishes,
            head,
            io,
            journal,
            lambda node: operations.tree.row(node),
            host.run_command,
        )
        operations.rollouts = RolloutOperations(rollouts, releases, wishes, head)
        admit_again(permits, link)
        place = Grown(
            head, link, permits, neighbours, store, writes, host, supervisor, operations, io, wishes
        )
        tree = grow(settings, place, named, term)
        await link.open()
        await tree.open()
        try:
            journal.write("", "master", "start", cause=f"term {term}")
            configure_again(wishes, head, supervisor)
            tree.begin()
            supervisor.spawn("keep the engine's memory", memory.keep)
            supervisor.spawn("trim the log", partial(keep_short, store, host.clock, settings))
            supervisor.spawn("rollouts", rollouts.run)
            running_modules.start()
            if host.has_threads:
                watchdog.start()
            yield Master(head, link, io, wishes, store, supervisor, operations)
        finally:
            watchdog.close()
            troubles.close()
            head.close()
            await io.carrier.close()
            tree.close()
            await supervisor.close()
            link.close()
            journal.write("", "master", "stop")
            journal.close()
            writes.close()
            memory.save()
    finally:
        lanes.close()
        store.close()


def source_of(modules: Iterable[Module] | Source | None) -> Source:
    """Where modules come from: the installed ones, where nothing else is given."""
    if modules is None:
        return Installed()
    return modules if callable(modules) else given(modules)


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
