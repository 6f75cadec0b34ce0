"""What people may ask about releases, in plain JSON-able values; part of `kedge.master.operations`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kedge.master.intent.releases import Releases, assignments
from kedge.master.intent.wishes import Wishes
from kedge.master.operations.wording import rows
from kedge.modules.port import Io

Json = dict[str, Any]


class ReleaseOperations:
    """One method for each verb of ``kedge release``; all errors are `KedgeError`."""

    def __init__(self, releases: Releases, wishes: Wishes, io: Io) -> None:
        self._releases = releases
        self._wishes = wishes
        self._io = io

    def _assigned(self) -> dict[str, str]:
        return assignments(self._io.site, self._wishes.intent)

    def every(self) -> list[Json]:
        """One row a release, the oldest first."""
        assigned = self._assigned()
        return [self._releases.row(name, assigned) for name in self._releases.names()]

    def show(self, name: str) -> Json:
        """All that a release binds, but for the texts of its files: their sizes."""
        release = self._releases.get(name)
        return {
            **self._releases.row(name, self._assigned()),
            "files": {path: len(text) for path, text in release.files.items()},
            "bound": {reference: dict(of) for reference, of in release.images.items()},
            "services": dict(release.services),
        }

    async def create(
        self, name: str, files: Mapping[str, str], commit: str, services: Mapping[str, str], by: str
    ) -> Json:
        """Make a release of a site's folder."""
        release = await self._releases.create(
            self._io, self._wishes.intent, name, files, commit, services, by
        )
        return self.show(release.name)

    def diff(self, before: str, after: str) -> list[Json]:
        """What nodes would be otherwise with one release than with another."""
        return rows(self._releases.compare(self._wishes.intent, before, after))

    def delete(self, name: str, by: str) -> Json:
        """Forget a release that no node has."""
        self._releases.delete(name, self._wishes.intent, by)
        return {"name": name}
