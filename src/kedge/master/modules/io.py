"""The master's side of `kedge.modules.port.Io`: the door through which modules reach the world."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from kedge.core.events import EndStep
from kedge.core.kinds import Value
from kedge.lib.errors import KedgeError
from kedge.master.agents.encoding import encode
from kedge.master.agents.link import Link
from kedge.master.agents.permits import BootPermit, Permits
from kedge.master.engine.head import Head
from kedge.master.engine.nodes import NodeState
from kedge.master.modules.carrier import StepCarrier, current_destruction, current_step
from kedge.master.modules.lanes import Lanes
from kedge.master.modules.manners import Manners
from kedge.master.modules.troubles import Troubles
from kedge.master.process.secrets import Secrets
from kedge.master.process.settings import Settings
from kedge.master.process.supervisor import Supervisor
from kedge.modules.port import Above, ImageClaim, Peers
from kedge.site.model import Cluster, Site

T = TypeVar("T")

MAX_STRANGERS = 1000


class MasterIo:
    """Every method as `kedge.modules.port.Io` describes it."""

    def __init__(
        self,
        settings: Settings,
        head: Head,
        link: Link,
        permits: Permits,
        secrets: Secrets,
        lanes: Lanes,
        supervisor: Supervisor,
        troubles: Troubles,
    ) -> None:
        self._settings = settings
        self._head = head
        self._link = link
        self._permits = permits
        self._secrets = secrets
        self._lanes = lanes
        self._supervisor = supervisor
        self.strangers: OrderedDict[str, dict[str, Value]] = OrderedDict()
        self.way_up: Above | None = None
        self.below: Peers | None = None
        self.settings_above: Callable[[str], Mapping[str, Value]] = lambda _: {}
        self.claims_of: Callable[[], Sequence[ImageClaim]] = tuple
        self.parents_of: Callable[[str], tuple[str, ...]] = lambda _: ()
        self.peer_at: Callable[[str], bool] = lambda _: False
        self._addresses: tuple[Site | None, frozenset[str]] = (None, frozenset())
        self._booting: dict[str, str] = {}
        self.carrier = StepCarrier(head, self, self._step_ended, troubles.note)
        self.manners = Manners(head, troubles)
        head.carrier = self.carrier

    @property
    def above(self) -> Above | None:
        return self.way_up

    @property
    def peers(self) -> Peers | None:
        return self.below

    def parents(self, node: str) -> tuple[str, ...]:
        return self.parents_of(node)

    def is_peer(self, address: str) -> bool:
        site = self._head.site
        if self._addresses[0] is not site:
            nodes = site.nodes.values() if site is not None else ()
            known = frozenset(a for node in nodes for a in node.addresses.values())
            self._addresses = (site, known)
        return address in self._addresses[1] or self.peer_at(address)

    @property
    def site(self) -> Site:
        return self._head.here or Site(Cluster(""))

    @property
    def state_dir(self) -> Path:
        return self._settings.state_dir

    def settings(self, module: str) -> Mapping[str, Value]:
        sections = self._settings.sections
        if module in sections:
            return sections[module]
        section = sections.get("modules", {}).get(module)
        return section if isinstance(section, dict) else self.settings_above(module)

    def now(self) -> float:
        return self._head.clock.wall()

    def node(self, name: str) -> NodeState | None:
        return self._head.nodes.get(name)

    def nodes(self) -> Mapping[str, NodeState]:
        return self._head.nodes

    def observe(self, node: str, values: Mapping[str, Value], *, by: str = "") -> None:
        self.manners.observe(node, values, by)

    def refine(self, node: str, variable: str, value: Value) -> None:
        self.manners.refine(node, variable, value)

    def observe_stranger(self, mac: str, facts: Mapping[str, Value]) -> None:
        if mac not in self.strangers:
            self._head.journal.write("", "stranger", mac, cause="a machine that is in no file")
        seen = self.strangers.setdefault(mac, {"first_seen": self.now()})
        seen.update(facts)
        seen["last_seen"] = self.now()
        self.strangers.move_to_end(mac)
        while len(self.strangers) > MAX_STRANGERS:
            self.strangers.popitem(last=False)

    def secret(self, name: str) -> Mapping[str, str]:
        return self._secrets.named(name)

    async def blocking(self, lane: str, call: Callable[..., T], *args: Any, timeout_s: float) -> T:
        node = current_destruction.get()
        if not node:
            return await self._lanes.call(lane, call, *args, timeout_s=timeout_s)

        def unless_forbidden() -> T:
            """Asked in the lane, when its turn has come: right before it is sent."""
            why = self._head.forbids(node)
            if why:
                raise KedgeError("lease.over", why, next_step="kedge submaster list")
            return call(*args)

        return await self._lanes.call(lane, unless_forbidden, timeout_s=timeout_s)

    def order(self, node: str, mutation: str, args: Mapping[str, Value]) -> None:
        step_id = current_step.get()
        if not step_id:
            raise KedgeError("order.no_step", f"no step of {mutation} runs", where=node)
        if not self._goes_on(node, mutation, step_id, args):
            self._link.put(node, f"order/{mutation}", encode({"id": step_id, "args": dict(args)}))

    def _goes_on(self, node: str, mutation: str, step_id: str, args: Mapping[str, Value]) -> bool:
        """Whether the agent is at this very order already, by the node's former owner: then its answer
        is this step's."""
        raw = self._link.claim(node, mutation)
        if raw is None:
            return False
        held: dict[str, Value] = json.loads(raw)
        if held["args"] != json.loads(encode(dict(args))):
            return False
        self._head.nodes[node].adopted[str(held["id"])] = step_id
        return True

    def grant_boot(self, node: str) -> None:
        permit = self._permits.grant(node)
        self._link.admit(permit)
        self._booting[node] = current_step.get()

    def take_permit(self, node: str, blobs: Collection[str] = ()) -> BootPermit | None:
        return self._permits.take(node, blobs)

    def promised_blobs(self) -> frozenset[str]:
        return frozenset(self._permits.promised()) | frozenset(self._link.ordered_digests())

    def image_claims(self) -> Sequence[ImageClaim]:
        return self.claims_of()

    def revoke_boot(self, node: str) -> None:
        self._permits.end(node)
        self._link.revoke(node)

    def _step_ended(self, node: str, effect: EndStep) -> None:
        """Withdraw what the step had put into the world: its order, the permit it granted."""
        if f"order/{effect.mutation}" in self._link.names(node):
            self._link.put(node, f"order/{effect.mutation}", None)
        if self._booting.get(node) == effect.step_id:
            del self._booting[node]
            if effect.outcome != "done":
                self.revoke_boot(node)

    def put_record(self, node: str, name: str, value: Value) -> None:
        self._link.put(node, name, None if value is None else encode(value))

    def event(self, node: str, what: str, subject: str, cause: str) -> None:
        self.manners.event(node, what, subject, cause)

    def degraded(self, name: str, why: str) -> None:
        if why:
            self._supervisor.failing[name] = why
        else:
            self._supervisor.failing.pop(name, None)

    def publish(self, topic: str, message: Mapping[str, Value]) -> None:
        self.manners.publish(topic, message)

    def spawn(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        self._supervisor.spawn(name, work)
