"""The client's part for looking at the engine's workings."""

from __future__ import annotations

from urllib.parse import quote

from kedge.client.calling import Calling
from kedge.shapes.log import WhyRow
from kedge.shapes.paths import BudgetRow, CostRow


class LookCalls(Calling):
    """One method for each operation; every method raises `KedgeError`."""

    async def budgets(self) -> list[BudgetRow]:
        """Who uses each pool of a budget, and who waits for it."""
        return await self.get("/v1/budgets", list[BudgetRow])

    async def costs(self) -> list[CostRow]:
        """How long each mutation takes: declared and learned."""
        return await self.get("/v1/costs", list[CostRow])

    async def why(self, node: str) -> WhyRow:
        """The chain of what led to what a node does now."""
        return await self.get(f"/v1/nodes/{quote(node, safe='')}/why", WhyRow)
