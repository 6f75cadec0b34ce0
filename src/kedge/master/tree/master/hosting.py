"""Sub-masters on nodes of the cluster, for the module that keeps them there: whether each is heard."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any, cast

from kedge.core.kinds import Value
from kedge.master.engine.head import Head
from kedge.master.tree.master.submasters import SubMasters

ADMIT_LASTS_S = 600.0


class Hosting:
    """As `kedge.modules.port.Peers` describes it. ``masters`` says where the master is found."""

    def __init__(
        self, head: Head, submasters: SubMasters, masters: Callable[[], list[str]]
    ) -> None:
        self._head, self._submasters, self._masters = head, submasters, masters

    def is_heard_on(self, submaster: str, node: str) -> bool:
        known, host = self._submasters.known.get(submaster), self._head.nodes.get(node)
        if known is None or host is None or not known.attached:
            return False
        facts = host.facts.get("facts")
        boot = cast("dict[str, Any]", facts).get("boot_id") if isinstance(facts, dict) else None
        return bool(boot) and known.health.get("boot_id") == boot

    def admit(self, submaster: str) -> Mapping[str, Value]:
        masters = self._submasters.passages.masters(submaster, self._masters())
        told = self._submasters.add(submaster, ADMIT_LASTS_S)
        return join_of(told, masters)


def join_of(told: Mapping[str, Any], masters: list[str]) -> dict[str, Value]:
    """The contents of a join file."""
    token = base64.b64encode(told["token"]).decode()
    return {**told, "token": token, "masters": cast("list[Value]", masters)}
