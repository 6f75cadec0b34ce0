"""The client's part for releases and rollouts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from kedge.client.calling import Calling, Json
from kedge.shapes.releases import ReleaseDetail, ReleaseRow
from kedge.shapes.rollouts import RolloutDetail, RolloutPlan, RolloutRow


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

    async def rollouts(self) -> list[RolloutRow]:
        """All rollouts, begun or described in the site."""
        return await self.get("/v1/rollouts", list[RolloutRow])

    async def rollout_show(self, name: str) -> RolloutDetail:
        """How far a rollout is, and what was seen."""
        return await self.get(f"/v1/rollouts/{quote(name, safe='')}", RolloutDetail)

    async def rollout_plan(self, name: str, release: str) -> RolloutPlan:
        """How long it takes, and what is left in service."""
        path = f"/v1/rollouts/{quote(name, safe='')}/plan"
        return await self.get(path, RolloutPlan, release=release)

    async def rollout_start(self, name: str, release: str) -> RolloutDetail:
        """Begin to move nodes to a release."""
        path = f"/v1/rollouts/{quote(name, safe='')}/start"
        return await self.post(path, RolloutDetail, release=release)

    async def rollout_say(
        self, name: str, verb: str, why: str = "", *, accept: bool = False
    ) -> RolloutDetail:
        """Approve, pause, resume, abort, or roll back."""
        path = f"/v1/rollouts/{quote(name, safe='')}/say"
        return await self.post(path, RolloutDetail, verb=verb, why=why, accept=accept)
