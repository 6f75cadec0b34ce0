"""How the API tells of sub-masters, and is asked for them."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

SubMasterName = Annotated[
    str, Meta(max_length=63, pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", description="Like sm1")
]


class SubMasterRow(Struct):
    """A sub-master: ``there`` or ``silent``, since when, and why; the groups that it owns now, and those
    that name it as a parent; how many nodes it knows; what of it is degraded; the node that it runs on, where
    that is one of the cluster's; the sub-master that it is below, where that is not the master."""

    name: str
    state: str
    since: float
    address: str
    version: str
    owns: list[str]
    parent_of: list[str]
    nodes: int
    degraded: dict[str, str]
    why: str
    node: str = ""
    below: str = ""


class SubMasterRequest(Struct, forbid_unknown_fields=True):
    """Which sub-master, and which one it is to be below; ``master``: none; empty: where it is already."""

    name: SubMasterName
    below: str = ""


class JoinFile(Struct):
    """What a new sub-master joins with, once: a secret. ``masters`` are where it finds the master, or the
    sub-master that it is below."""

    name: str
    term: int
    counter: int
    token: str
    masters: list[str]

    def __repr__(self) -> str:  # never the token
        return f"JoinFile({self.name!r}, {self.term}.{self.counter})"
