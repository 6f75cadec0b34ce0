"""The client's part for releases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from kedge.client.calling import Calling, Json
from kedge.shapes.releases import ReleaseDetail, ReleaseRow


class ReleaseCalls(Calling):
    """One method for each operation; every method raises `KedgeError`."""

    async def releases(self) -> list[ReleaseRow]:
        """All releases, the oldest first."""
        return await self.get("/v1/releases", list[ReleaseRow])

    async def release_show(self, name: str) -> ReleaseDetail:
        """All that a release binds."""
        return await self.get(f"/v1/releases/{quote(name, safe='')}", ReleaseDetail)

    async def release_create(
        self, name: str, files: Mapping[str, str], commit: str, services: Mapping[str, str]
    ) -> ReleaseDetail:
        """Bind what a site's folder says to a name."""
        body: dict[str, Any] = {"name": name, "files": files, "commit": commit}
        return await self.post(
            "/v1/releases", ReleaseDetail, lasting=True, **body, services=services
        )

    async def release_delete(self, name: str) -> Json:
        """Forget a release that no node has."""
        return await self.post(f"/v1/releases/{quote(name, safe='')}/delete", Json)

    async def release_diff(self, before: str, after: str) -> list[Json]:
        """What nodes would be otherwise with another release."""
        return await self.get("/v1/release-diff", list[Json], before=before, after=after)
