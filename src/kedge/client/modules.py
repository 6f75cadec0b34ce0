"""The client's part for modules."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from kedge.client.calling import Calling
from kedge.shapes.modules import ModuleDetail, ModuleRow, Reloaded


class ModuleCalls(Calling):
    """One method for each operation; every method raises `KedgeError`."""

    async def modules(self) -> list[ModuleRow]:
        """All modules."""
        return await self.get("/v1/modules", list[ModuleRow])

    async def module(self, name: str) -> ModuleDetail:
        """One module, with its page of the reference."""
        return await self.get(f"/v1/modules/{quote(name, safe='')}", ModuleDetail)

    async def module_reload(self, names: Sequence[str] = ()) -> Reloaded:
        """Go over to the modules that are installed now."""
        return await self.post("/v1/modules/reload", Reloaded, names=list(names))
