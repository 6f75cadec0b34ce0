"""Putting a master's or a sub-master's part of the tree together, opening and closing it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from kedge.core.lease import LeaseTerms
from kedge.lib.errors import KedgeError
from kedge.master.agents.link import PERMIT_LASTS_S, Link, is_peer
from kedge.master.agents.neighbours import Neighbours
from kedge.master.agents.permits import Permits
from kedge.master.engine.head import Head
from kedge.master.intent.wishes import Wishes
from kedge.master.modules.io import MasterIo
from kedge.master.operations.operations import Operations
from kedge.master.persistence.late_writes import LateWrites
from kedge.master.process import space
from kedge.master.process.host import Host
from kedge.master.process.secrets import Secrets
from kedge.master.process.settings import Settings
from kedge.master.process.supervisor import Supervisor
from kedge.master.tree.master.delegation import Delegation
from kedge.master.tree.master.handing import Handing
from kedge.master.tree.master.hosting import Hosting
from kedge.master.tree.master.submasters import JOIN_LASTS_S
from kedge.master.tree.operations import AtMaster, AtSubMaster, at_master
from kedge.master.tree.submaster.branch import Branch
from kedge.master.tree.submaster.copying import Copies
from kedge.master.tree.submaster.inherited import SecretsFromAbove, SettingsFromAbove
from kedge.master.tree.submaster.reporting import Reporter
from kedge.master.tree.submaster.tidying import Tidy
from kedge.master.tree.submaster.uplink import Uplink
from kedge.modules.boot.place import boot_settings, find_place
from kedge.stores.port import Store
from kedge.sync.events import ParentEvent

SUB_MASTER = "sub-master"


@dataclass(frozen=True, slots=True)
class Grown:
    """The parts of a process that the tree needs."""

    head: Head
    link: Link
    permits: Permits
    neighbours: Neighbours
    store: Store
    writes: LateWrites
    host: Host
    supervisor: Supervisor
    operations: Operations
    io: MasterIo
    wishes: Wishes


class Tree(Protocol):
    """This process's part of the tree."""

    async def open(self) -> None: ...
    def begin(self) -> None: ...
    def close(self) -> None: ...


def secrets_of(settings: Settings, host: Host) -> Secrets:
    """Where named secrets come from."""
    kind = SecretsFromAbove if settings.role == SUB_MASTER else Secrets
    return kind(settings.state_dir / "secrets.yaml", host.environment)


def grow(settings: Settings, parts: Grown, secrets: Secrets, term: int) -> Tree:
    """The part of the tree that the configuration asks for."""
    if isinstance(secrets, SecretsFromAbove):
        return _Branch(settings, parts, secrets, term)
    return _Root(settings, parts, secrets, term)


class _Root:
    def __init__(self, settings: Settings, parts: Grown, secrets: Secrets, term: int) -> None:
        terms = LeaseTerms(
            settings.lease_s, min(20.0, settings.lease_s / 3), settled_s=settings.lease_s
        )
        delegation = Delegation(
            parts.head,
            parts.link,
            parts.permits,
            secrets,
            parts.store,
            parts.writes,
            parts.host.clock,
            terms,
            term,
        )
        self._delegation, self._supervisor = delegation, parts.supervisor
        told = parts.neighbours.told
        parts.neighbours.elsewhere = delegation.heard.elsewhere

        def hear(event: ParentEvent) -> None:
            if not delegation.told(event):
                told(event)

        parts.link.told = hear
        modules = settings.sections.get("modules", {})
        delegation.down.modules = {name: section for name, section in modules.items() if section}
        delegation.down.url = partial(_url, parts.io)
        delegation.down.address = partial(_address_or_none, settings, parts.io)
        parts.io.parents_of, parts.io.peer_at = delegation.addresses, delegation.submasters.peer_at
        self._handing = Handing(delegation, parts.io, parts.supervisor)
        address = partial(_address, settings, parts.io)
        parts.operations.tree = AtMaster(delegation, address, parts.operations.modules.versions)
        parts.operations.modules.pass_on = partial(delegation.asks.tell, "reload")
        parts.wishes.check = delegation.submasters.check
        parts.io.below = Hosting(parts.head, delegation.submasters, lambda: [address()])

    async def open(self) -> None:
        """There is nothing above."""

    def begin(self) -> None:
        self._delegation.begin()
        self._supervisor.spawn("keep the tree", self._delegation.keep)
        self._supervisor.spawn("hand down images", self._handing.keep)

    def close(self) -> None:
        """The link says good-bye."""


class _Branch:
    def __init__(
        self, settings: Settings, parts: Grown, secrets: SecretsFromAbove, start: int
    ) -> None:
        head, link, writes = parts.head, parts.link, parts.writes
        uplink = secrets.uplink = Uplink(settings, writes, parts.host)
        name = settings.name or uplink.child.node[1:]
        clock = parts.host.clock
        self._branch = Branch(name, head, link, parts.permits, uplink, writes, clock, start)
        advertised = partial(_address, settings, parts.io)
        self._reporter = Reporter(head, link, self._branch, uplink, parts.supervisor, advertised)
        self._reporter.operations, self._reporter.boot_id = parts.operations, parts.host.boot_id()
        self._uplink, self._supervisor = uplink, parts.supervisor
        self._copies = Copies(head, parts.io, uplink, parts.host)
        is_low = partial(space.is_low, parts.host, settings.state_dir)
        self._tidy = Tidy(parts.io, self._copies, is_low)
        parts.io.claims_of = self._copies.claims
        parts.io.way_up, parts.io.parents_of = self._copies, self._branch.addresses
        parts.io.settings_above = SettingsFromAbove(uplink).of
        link.told = self._reporter.hears(parts.neighbours)
        self._branch.below.url = partial(_url, parts.io)
        parts.io.peer_at = self._branch.below.peer_at
        parts.neighbours.elsewhere = self._branch.heard.elsewhere
        parts.operations.tree = AtSubMaster(self._branch, uplink)
        self._modules = parts.operations.modules
        self._branch.reload = self._reload
        parts.wishes.elsewhere = at_master()

    def _reload(self, names: Collection[str], by: str) -> None:
        async def work() -> None:
            await self._modules.reload(names, by)

        self._supervisor.spawn("reload modules", work)

    async def open(self) -> None:
        await self._uplink.open()

    def begin(self) -> None:
        self._branch.begin()
        self._supervisor.spawn("renew the lease", self._branch.renew)
        self._supervisor.spawn("report upwards", self._reporter.report)
        self._supervisor.spawn("copy images", self._copies.keep)
        self._supervisor.spawn("tidy copies", self._tidy.keep)

    def close(self) -> None:
        self._uplink.close()


def _address(settings: Settings, io: MasterIo) -> str:
    """Where agents find this process."""
    if settings.sync_advertise:
        return f"{settings.sync_advertise}:{settings.sync_port}"
    return find_place(io.site, boot_settings(io)).parent


def _address_or_none(settings: Settings, io: MasterIo) -> str:
    try:
        return _address(settings, io)
    except KedgeError:
        return ""


def _url(io: MasterIo) -> str:
    """Where the boot server of this process gives blobs; empty where there is none."""
    try:
        return find_place(io.site, boot_settings(io)).url
    except KedgeError:
        return ""


def admit_again(permits: Permits, link: Link) -> None:
    """Let those join whose boot (a sub-master: whose adding) was under way when the last process ended.
    A script that was not given yet waits for the engine to boot the node anew: it may be held meanwhile."""
    for permit in list(permits.open.values()):
        if not (permit.given or is_peer(permit.node)):
            permits.end(permit.node)
            continue
        try:
            link.admit(permit, JOIN_LASTS_S if is_peer(permit.node) else PERMIT_LASTS_S)
        except KedgeError:  # it had joined; the process ended before it could say so
            permits.end(permit.node)
