"""The client's part that changes nodes, with the dry run of each change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kedge.client.calling import Calling, Json
from kedge.shapes.paths import Preview


class ChangeCalls(Calling):
    """One method for each operation, and one for what it would lead to (``foresee``); every method
    raises `KedgeError`."""

    async def foresee_files(self, files: Mapping[str, str]) -> Preview:
        """What applying a site's files would change, and what nodes would do."""
        return await self.post("/v1/foresee", Preview, files=files)

    async def foresee_meaning(self, nodes: str, values: Mapping[str, Any]) -> Preview:
        """What nodes would do if configured values stood for something else."""
        return await self.post("/v1/foresee-meaning", Preview, nodes=nodes, values=values)

    async def set_values(self, nodes: str, values: Mapping[str, Any]) -> Json:
        """Set configured values (None takes one back)."""
        return await self.post("/v1/set", Json, nodes=nodes, values=values)

    async def foresee_values(self, nodes: str, values: Mapping[str, Any]) -> Preview:
        """The dry run of `set_values`."""
        return await self.post("/v1/set", Preview, nodes=nodes, values=values, dry_run=True)

    async def hold(self, nodes: str, reason: str, *, group: str = "", all: bool = False) -> Json:
        """Leave nodes, a group, or all alone."""
        return await self.post("/v1/hold", Json, nodes=nodes, group=group, all=all, reason=reason)

    async def foresee_hold(
        self, nodes: str, reason: str, *, group: str = "", all: bool = False
    ) -> Preview:
        """The dry run of `hold`."""
        body: dict[str, Any] = {"nodes": nodes, "group": group, "all": all, "reason": reason}
        return await self.post("/v1/hold", Preview, **body, dry_run=True)

    async def release(self, nodes: str, *, group: str = "", all: bool = False) -> Json:
        """End holds put by command."""
        return await self.post("/v1/release", Json, nodes=nodes, group=group, all=all)

    async def foresee_release(self, nodes: str, *, group: str = "", all: bool = False) -> Preview:
        """The dry run of `release`."""
        body: dict[str, Any] = {"nodes": nodes, "group": group, "all": all}
        return await self.post("/v1/release", Preview, **body, dry_run=True)

    async def retry(self, nodes: str) -> Json:
        """Try quarantined nodes again."""
        return await self.post("/v1/retry", Json, nodes=nodes)

    async def foresee_retry(self, nodes: str) -> Preview:
        """The dry run of `retry`."""
        return await self.post("/v1/retry", Preview, nodes=nodes, dry_run=True)

    async def power(self, nodes: str, action: str) -> Json:
        """Configure power on or off, or cycle once."""
        return await self.post("/v1/power", Json, nodes=nodes, action=action)

    async def foresee_power(self, nodes: str, action: str) -> Preview:
        """The dry run of `power`."""
        return await self.post("/v1/power", Preview, nodes=nodes, action=action, dry_run=True)
