"""Budgets from the site to the engine: pools, limits, names that nothing draws from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kedge.core.events import BudgetSet
from kedge.core.node import Configuration
from kedge.lib.errors import KedgeErrors
from kedge.master.engine.budgets import Membership, limits_of
from kedge.site.model import Cluster, Share, Site
from small_master import FILES, calm, small_master


def racks(**budgets: Any) -> Site:
    nodes = {f"n{i}": Configuration(f"n{i}", {}, attributes={"rack": i % 2}) for i in range(10)}
    nodes["odd"] = Configuration("odd", {})
    return Site(Cluster("c"), nodes=nodes, **budgets)


def test_a_node_draws_from_one_pool_of_each_kind_that_it_has() -> None:
    site = racks(budgets={"power.*": {"rack": 3, "cluster": 5}}, out_of_service={"rack": Share(2)})
    membership = Membership(site)
    assert membership.limits(site.nodes["n3"]) == (("power.*", "cluster"), ("power.*", "rack 1"))
    assert membership.spans(site.nodes["n3"]) == (("out_of_service", "rack 1"),)
    assert membership.spans(site.nodes["n3"]) is membership.spans(site.nodes["n5"])
    assert membership.spans(site.nodes["odd"]) == ()
    assert limits_of(site)["power.*", "rack 0"] == BudgetSet("power.*", "rack 0", 3)


def test_a_share_is_of_the_nodes_in_the_pool() -> None:
    site = racks(
        out_of_service={"rack": Share(50, percent=True), "cluster": Share(1, percent=True)}
    )
    limits = {pool: each.limit for (_, pool), each in limits_of(site).items() if each.span}
    assert limits == {"rack 0": 2, "rack 1": 2, "cluster": 1}


async def test_a_budget_that_nothing_draws_from_is_refused_where_it_is_written(
    tmp_path: Path,
) -> None:
    async with small_master(tmp_path, calm()) as master:
        text = FILES["site.yaml"] + "budgets: { calm.*: 1, calm.turn_onn: 1, out_of_service: 1 }\n"
        with pytest.raises(KedgeErrors) as caught:
            master.operations.diff({"site.yaml": text})
        (error,) = caught.value.errors
        assert (error.code, error.where) == ("site.unknown_budget", "site.yaml:6")
        assert "Did you mean calm.turn_on?" in error.next_step
        master.operations.apply({"site.yaml": text.replace("onn", "on")}, "test")
        steps, spans = master.head.engine.usage()
        assert [usage.pool[0] for usage in steps] == ["calm.*", "calm.turn_on"]
        assert spans[0].pool == ("out_of_service", "cluster") and spans[0].limit == 1
