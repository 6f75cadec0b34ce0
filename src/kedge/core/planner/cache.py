"""The planner's door: plans for classes of nodes, shared and kept.

A plan depends only on the goals, the penalties, the costs, and the values of the variables that can
matter for them; nodes that agree in these are one class and share one plan, however many they are.
Stars are kept per goals, penalties and costs, as they do not depend on the state. Both stores are
bounded, the least recently used going first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from kedge.core.compiled import Compiled
from kedge.core.planner.order import Plan, arrange
from kedge.core.planner.relax import Dropped, droppable, relaxed, solve
from kedge.core.planner.repair import Stages, along, leaf_with, merge
from kedge.core.planner.search import EXPANSIONS, Search
from kedge.core.planner.star import decouple
from kedge.core.planner.task import (
    GIVE_UP,
    CostTable,
    Goals,
    Penalties,
    cost_table,
    task_for,
)

PLANS = 20_000
SEARCHES = 500


class Planner:
    """Plans over one compiled graph. ``searches`` counts how often it had to search."""

    def __init__(self, compiled: Compiled, expansions: int = EXPANSIONS) -> None:
        self.compiled = compiled
        self.declared = cost_table(compiled)
        self.searches = 0
        self._expansions = expansions
        self._sizes = [len(values) for values in compiled.values]
        self._stars: OrderedDict[tuple[Goals, Penalties, CostTable, Dropped], Search] = (
            OrderedDict()
        )
        self._repairs: OrderedDict[
            tuple[
                Goals, Penalties, CostTable, tuple[int, ...], tuple[int, ...], int, tuple[int, ...]
            ],
            tuple[Stages, int] | None,
        ] = OrderedDict()
        self._plans: OrderedDict[tuple[Goals, Penalties, CostTable, tuple[int, ...]], Plan] = (
            OrderedDict()
        )

    def plan(
        self,
        state: Sequence[int],
        goals: Goals,
        penalties: Penalties = (),
        costs: CostTable | None = None,
    ) -> Plan:
        """The cheapest plan from ``state``, giving up as few unmet goals as possible; ``costs`` are
        the declared ones where none are given."""
        costs = costs or self.declared
        search = self._search(goals, penalties, costs, frozenset())
        key = (goals, penalties, costs, tuple(state[v] for v in search.star.task.variables))
        known = self._plans.get(key)
        if known is not None:
            self._plans.move_to_end(key)
            return known
        self.searches += 1
        found = solve(
            self.compiled,
            state,
            droppable(search.star, self._sizes),
            lambda dropped: self._search(goals, penalties, costs, dropped),
            self._expansions,
        )
        plan = arrange(
            self.compiled, found.actions, state, goals, found.price % GIVE_UP, found.proven
        )
        self._plans[key] = plan
        if len(self._plans) > PLANS:
            self._plans.popitem(last=False)
        return plan

    def repair(
        self,
        plan: Plan,
        done: int,
        state: Sequence[int],
        goals: Goals,
        penalties: Penalties,
        changed: Sequence[int],
        costs: CostTable | None = None,
    ) -> Plan | None:
        """``plan``, of which ``done`` is done, after a surprise in ``changed``; None for *search*."""
        costs = costs or self.declared
        search = self._search(goals, penalties, costs, frozenset())
        leaf = leaf_with(search, changed)
        if leaf < 0 or plan.given_up:
            return None
        left = [step for place, step in enumerate(plan.steps) if not done >> place & 1]
        centre = {action.action for action in search.star.actions}
        path = tuple(step.number for step in left if step.number in centre)
        inside = tuple(state[v] for v in search.star.leaves[leaf].variables)
        around = tuple(state[v] for v in search.star.centre)
        key = (goals, penalties, costs, path, around, leaf, inside)
        if key not in self._repairs:
            self.searches += 1
            self._repairs[key] = along(search, path, leaf, state)
            if len(self._repairs) > PLANS:
                self._repairs.popitem(last=False)
        answer = self._repairs[key]
        if answer is None:
            return None
        own = {edge.action: edge.cost for edge in search.star.leaves[leaf].edges}
        before = sum(own.get(step.number, 0) for step in left)
        if answer[1] > before + self._cheapest_centre(search, answer[1]):
            return None
        numbers = merge(self.compiled, search, left, leaf, answer[0], state)
        if numbers is None:
            return None
        price = sum(search.star.task.costs[number] for number in numbers)
        return arrange(self.compiled, numbers, state, goals, price, False)

    def _cheapest_centre(self, search: Search, default: int) -> int:
        """What it costs at least to change the centre."""
        actions = self.compiled.actions
        return min(
            (a.cost for a in search.star.actions if actions[a.action].mutation is not None),
            default=default,
        )

    def _search(
        self, goals: Goals, penalties: Penalties, costs: CostTable, dropped: Dropped
    ) -> Search:
        key = (goals, penalties, costs, dropped)
        search = self._stars.get(key)
        if search is None:
            task = relaxed(task_for(self.compiled, goals, penalties, costs.costs), dropped)
            search = self._stars[key] = Search(decouple(task, self._sizes))
            if len(self._stars) > SEARCHES:
                self._stars.popitem(last=False)
        else:
            self._stars.move_to_end(key)
        return search
