"""Say which release a node shall run: the one variable that releases, rollouts and schedulers share."""

from __future__ import annotations

from kedge.core.kinds import Text
from kedge.core.module import Module

module = Module("release", summary="Which release a node shall run")

wanted = module.variable(
    "wanted",
    Text(r"(?:[A-Za-z0-9][A-Za-z0-9._-]{0,62})?", "2026.11"),
    configured=True,
    summary="The release that the node shall run; empty or not set: what the applied site says",
)
