"""The client's part for sub-masters."""

from __future__ import annotations

from urllib.parse import quote

from kedge.client.calling import Calling, Json
from kedge.shapes.submasters import JoinFile, SubMasterRow


class SubMasterCalls(Calling):
    """One method for each operation; every method raises `KedgeError`."""

    async def submasters(self) -> list[SubMasterRow]:
        """All sub-masters."""
        return await self.get("/v1/submasters", list[SubMasterRow])

    async def submaster_add(self, name: str, below: str = "") -> JoinFile:
        """Let a sub-master join, ``below`` another one, or ``master``; empty: where it is already."""
        return await self.post("/v1/submasters", JoinFile, name=name, below=below)

    async def submaster_remove(self, name: str) -> Json:
        """Forget a sub-master that no group names."""
        return await self.post(f"/v1/submasters/{quote(name, safe='')}/delete", Json)
