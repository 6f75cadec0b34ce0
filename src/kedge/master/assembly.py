"""All parts of a master, or of a sub-master, and how they know each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from kedge.core.graph import Graph
from kedge.core.module import Module
from kedge.master.agents.duties import DutyEntries, place_duties
from kedge.master.agents.link import Link
from kedge.master.agents.neighbours import Neighbours
from kedge.master.agents.permits import Permits, next_term
from kedge.master.agents.records import send_records
from kedge.master.engine.head import Head
from kedge.master.engine.memory import Memory
from kedge.master.intent.releases import Releases
from kedge.master.intent.wishes import Wishes
from kedge.master.modules.io import MasterIo
from kedge.master.modules.lanes import Lanes
from kedge.master.modules.loading import Installed, Source, given
from kedge.master.modules.running import Modules, graph_of
from kedge.master.modules.troubles import Troubles
from kedge.master.operations.looking import Looks
from kedge.master.operations.operations import Operations
from kedge.master.operations.previews import Previews
from kedge.master.operations.releases import ReleaseOperations
from kedge.master.operations.rollouts import RolloutOperations
from kedge.master.persistence.journal import Journal
from kedge.master.persistence.late_writes import LateWrites
from kedge.master.process.host import Host
from kedge.master.process.settings import Settings
from kedge.master.process.supervisor import Supervisor
from kedge.master.process.watchdog import Watchdog
from kedge.master.rollout.image_claims import ImageClaims
from kedge.master.rollout.rollouts import Rollouts
from kedge.master.tree.wiring import Grown, Tree, admit_again, grow, secrets_of
from kedge.stores.port import Store


@dataclass(frozen=True, slots=True)
class Master:
    """The parts of a master."""

    term: int
    head: Head
    link: Link
    io: MasterIo
    wishes: Wishes
    store: Store
    supervisor: Supervisor
    operations: Operations
    journal: Journal
    troubles: Troubles
    memory: Memory
    writes: LateWrites
    modules: Modules
    rollouts: Rollouts
    watchdog: Watchdog
    tree: Tree


def assemble(
    settings: Settings,
    modules: Iterable[Module] | Source | None,
    host: Host,
    store: Store,
    lanes: Lanes,
) -> Master:
    """Put them together; nothing of it runs yet. Raises `KedgeError`."""
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

    def take(graph: Graph) -> None:
        head.configured = partial(send_records, head, link, DutyEntries(graph))
        io.manners.adopt(graph)

    take(graph)
    carrier = io.carrier
    running = Modules(
        source, loaded, settings, head, wishes, io, carrier, journal, supervisor, troubles, take
    )
    rollouts = Rollouts(
        store, wishes, head, io, journal, lambda node: operations.tree.row(node), host.run_command
    )
    io.claims_of = ImageClaims(wishes, releases, rollouts).found
    operations.releases = ReleaseOperations(releases, wishes, io)
    operations.looks = Looks(head, store, lambda node: operations.status(node)[0])
    operations.previews = Previews(head, wishes)
    operations.modules = running
    operations.rollouts = RolloutOperations(rollouts, releases, wishes, head)
    admit_again(permits, link)
    place = Grown(
        head, link, permits, neighbours, store, writes, host, supervisor, operations, io, wishes
    )
    tree = grow(settings, place, named, term)
    watchdog = Watchdog(running.folders, troubles.note)
    return Master(
        term, head, link, io, wishes, store, supervisor, operations, journal, troubles, memory,
        writes, running, rollouts, watchdog, tree,
    )  # fmt: skip


def source_of(modules: Iterable[Module] | Source | None) -> Source:
    """Where modules come from: the installed ones, where nothing else is given."""
    if modules is None:
        return Installed()
    return modules if callable(modules) else given(modules)
