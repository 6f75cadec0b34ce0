"""The part of the API's table that speaks of sub-masters."""

from __future__ import annotations

from typing import Any

from kedge.api.route import Route
from kedge.shapes import submasters

SUBMASTER_ROUTES: tuple[Route, ...] = (
    Route(
        "GET", "/v1/submasters", "submasters", "All sub-masters, and which groups each owns",
        list[submasters.SubMasterRow], lambda ops, asked: ops.tree.list(),
    ),
    Route(
        "POST", "/v1/submasters", "submaster_add", "Let a sub-master join: what its join file says",
        submasters.JoinFile,
        lambda ops, asked: ops.tree.add(asked.body.name, asked.body.below or None),
        body=submasters.SubMasterRequest,
    ),
    Route(
        "POST", "/v1/submasters/{name}/delete", "submaster_remove",
        "Forget a sub-master that no group names",
        dict[str, Any], lambda ops, asked: ops.tree.remove(asked.path["name"]),
    ),
)  # fmt: skip
