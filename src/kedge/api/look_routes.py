"""The part of the API's table that shows the engine's workings: budgets, learned costs."""

from __future__ import annotations

from kedge.api.route import Route
from kedge.shapes import log, paths

LOOK_ROUTES: tuple[Route, ...] = (
    Route(
        "GET", "/v1/budgets", "budgets", "Who uses each pool of a budget, and who waits for it",
        list[paths.BudgetRow], lambda ops, asked: ops.looks.budgets(),
    ),
    Route(
        "GET", "/v1/costs", "costs", "How long each mutation takes: declared and learned",
        list[paths.CostRow], lambda ops, asked: ops.looks.costs(),
    ),
    Route(
        "GET", "/v1/nodes/{node}/why", "why", "The chain of what led to what a node does now",
        log.WhyRow, lambda ops, asked: ops.looks.why(asked.path["node"]),
    ),
)  # fmt: skip
