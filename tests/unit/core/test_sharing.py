"""What nodes share: budgets, the breaker, timers, and the planner's plans."""

from __future__ import annotations

import random
from collections import deque

from worlds import RUNNING, UP, World

from fake_modules import modules
from kedge.core.engine.budgets import Budgets, Lack
from kedge.core.events import BudgetSet, NodeConfigured, Observed, Retried, StartStep
from kedge.core.graph import Graph
from kedge.core.kinds import Enum
from kedge.core.module import Module


def test_a_step_takes_all_its_budgets_or_none_and_waits_in_turn() -> None:
    budgets = Budgets()
    rack, boot = ("inrush", "rack1"), ("server", "boot1")
    budgets.limit(rack, 1)
    budgets.limit(boot, 2)
    assert budgets.take("a/on", (rack, boot))
    assert not budgets.take("b/on", (rack, boot))
    assert not budgets.take("c/on", (boot,)), "c shares the boot server with b, who came first"
    assert budgets.waits_for("b/on") == Lack(rack, 1, 1, 0)
    assert budgets.waits_for("c/on") == Lack(boot, 2, 1, 1)
    assert set(budgets.release("a/on")) == {"b/on"}
    assert budgets.take("b/on", (rack, boot)) and budgets.take("c/on", (boot,))


def test_a_pool_that_is_full_is_named_before_one_where_others_come_first() -> None:
    budgets = Budgets()
    cluster, rack = ("out", "cluster"), ("out", "rack3")
    budgets.limit(cluster, 200)
    budgets.limit(rack, 1)
    assert budgets.take("a", (cluster, rack))
    assert not budgets.take("b", (cluster, rack)) and not budgets.take("c", (cluster, rack))
    assert budgets.waits_for("c") == Lack(rack, 1, 1, 1)


def test_of_a_shared_limit_only_the_share_is_used() -> None:
    budgets, pool = Budgets(), ("inrush", "cluster")
    budgets.limit(pool, 3, 0)
    assert not budgets.take("a/on", (pool,)), "a share of nothing is not no limit"
    assert budgets.waits_for("a/on") == Lack(pool, 3, 0, 0, 0)
    assert budgets.limit(pool, 3, 1) == ["a/on"] and budgets.take("a/on", (pool,))
    assert not budgets.take("b/on", (pool,))
    assert budgets.demand(pool) == (1, 1)
    assert budgets.limit(pool, 3, 0) == [] and budgets.holds("a/on"), "nobody is interrupted"
    assert budgets.overdrawn("a/on")
    assert budgets.limit(pool, 3) == ["b/on"], "nobody shares it any more"
    assert budgets.usage()[0].share is None


class Crowd:
    """Thirty holders that want random pools and try whenever they are told to."""

    def __init__(self, rng: random.Random) -> None:
        self.rng, self.budgets = rng, Budgets()
        pools = [("b", str(i)) for i in range(4)]
        self.limits = {pool: rng.randint(1, 3) for pool in pools}
        for pool, limit in self.limits.items():
            self.budgets.limit(pool, limit)
        self.wants = {f"{i}/x": tuple(rng.sample(pools, rng.randint(1, 3))) for i in range(30)}
        self.waiting, self.holding, self.order = deque(self.wants), list[str](), list[str]()

    def attempt(self, name: str) -> None:
        if name not in self.order and self.budgets.take(name, self.wants[name]):
            self.order.append(name)
            self.holding.append(name)
            for other in self.budgets.heads(name):
                self.attempt(other)

    def move(self) -> None:
        if self.waiting and (not self.holding or self.rng.random() < 0.6):
            self.attempt(self.waiting.popleft())
        elif self.holding:
            done = self.holding.pop(self.rng.randrange(len(self.holding)))
            for other in self.budgets.release(done):
                self.attempt(other)
        for pool, limit in self.limits.items():
            assert sum(pool in self.wants[name] for name in self.holding) <= limit


def test_random_use_of_budgets_never_exceeds_a_limit_never_deadlocks_and_is_fair() -> None:
    for seed in range(200):
        crowd = Crowd(random.Random(seed))
        while crowd.waiting or crowd.holding:
            crowd.move()
        assert len(crowd.order) == 30, "somebody waits for ever"
        for at, name in enumerate(crowd.order):
            for later in crowd.order[at + 1 :]:
                if int(later.split("/")[0]) < int(name.split("/")[0]):
                    assert not set(crowd.wants[name]) & set(crowd.wants[later]), "one was passed"


def inrush_modules() -> list[Module]:
    made = modules()
    switch = made[0].mutations[0]
    assert switch.name == "power.switch_on"
    made[0].mutations[0] = type(switch)(
        **{
            **{name: getattr(switch, name) for name in switch.__slots__},
            "budgets": ("power.inrush",),
        }
    )
    return made


def test_power_on_is_paced_by_its_budget() -> None:
    world = World(graph=Graph.of(inrush_modules()))
    world.tell(BudgetSet("power.inrush", "rack1", 2))
    for i in range(5):
        node = f"n{i}"
        world.tell(NodeConfigured(node, RUNNING, limits=(("power.inrush", "rack1"),)))
        world.see(node, power_state="off", image_ready="ready")
    on = [n for n in world.engine.nodes() if world.condition(n).running]
    assert on == ["n0", "n1"]
    assert (
        "budget power.inrush of rack1 (limit 2, 1 ahead; used by n0, n1)"
        in world.condition("n3").why
    )
    world.see("n1", power_state="on")
    assert {(e.node, e.mutation) for e in world.effects if isinstance(e, StartStep)} == {
        ("n1", "boot.load"),
        ("n2", "power.switch_on"),
    }
    world.tell(NodeConfigured("n3", RUNNING, hold="fan", limits=(("power.inrush", "rack1"),)))
    world.see("n0", power_state="on")
    assert ("n4", "power.switch_on") in [
        (e.node, e.mutation) for e in world.effects if isinstance(e, StartStep)
    ]


def test_many_silent_nodes_open_the_breaker_and_one_may_be_let_through() -> None:
    world = World()
    nodes = [f"n{i}" for i in range(10)]
    for node in nodes:
        world.up(node, group="rack1")
    world.wait(60)
    for node in nodes:
        world.tell(Observed(node, UP, "test"))
    for node in nodes[:6]:
        world.see(node, boot_stage="unknown")
        world.see(node, power_state="on")
    effects = world.wait(120)
    assert not [e for e in effects if isinstance(e, StartStep)]
    condition = world.condition("n0")
    assert condition.phase == "waiting" and "the breaker is open" in condition.why
    assert "kedge node retry n0" in condition.next
    world.tell(Retried("n0"))
    assert world.started() == ["power.switch_off"]
    effects = world.wait(700)
    assert {e.node for e in effects if isinstance(e, StartStep)} >= set(nodes[1:6])


def test_a_configuration_of_long_ago_does_not_let_nodes_through_the_breaker() -> None:
    world = World()
    nodes = [f"n{i}" for i in range(10)]
    for node in nodes:
        world.up(node, group="rack1")
    for node in nodes:
        world.configure(node, group="rack1")
    world.wait(60)
    for node in nodes:
        world.see(node, boot_stage="unknown")
        world.see(node, power_state="on")
    assert not [e for e in world.wait(120) if isinstance(e, StartStep)]
    assert "the breaker is open" in world.condition("n0").why


def test_a_new_image_for_all_is_no_reason_to_open_the_breaker() -> None:
    world = World()
    nodes = [f"n{i}" for i in range(10)]
    for node in nodes:
        world.up(node, group="rack1")
    world.wait(60)
    for node in nodes:
        world.configure(node, group="rack1")
        world.tell(Observed(node, {"image.ready": "unknown"}, "configured", fresh=False))
        world.tell(Observed(node, {"image.running": "kernel"}, "configured", fresh=False))
    started: list[str] = []
    for node in nodes:
        world.see(node, image_ready="ready")
        started += world.started()
    assert started == ["power.shut_down"] * 10


def test_a_single_failed_node_is_cycled_without_asking() -> None:
    world = World()
    for i in range(10):
        world.up(f"n{i}", group="rack1")
    world.wait(10)
    world.see("n0", boot_stage="unknown")
    world.see("n0", power_state="on")
    assert [e.mutation for e in world.wait(100) if isinstance(e, StartStep)] == ["power.switch_off"]


def test_nodes_of_a_class_share_one_search() -> None:
    world = World()
    for i in range(50):
        node = f"n{i}"
        world.configure(node)
        world.see(node, power_state="off", image_ready="ready")
    assert world.engine.planner.searches <= 4


def test_a_third_modules_variable_is_planned_like_any_other() -> None:
    extra = Module("fan", summary="")
    speed = extra.variable("speed", Enum(("slow", "fast")), configured=True)
    extra.listens(speed, timeout_s=60)
    extra.edge("raise_speed", {speed: "fast"}, where="node", requires={"boot.stage": "running"})
    world = World(graph=Graph.of([*modules(), extra]))
    world.configure(goals={**RUNNING, "fan.speed": "fast"})
    world.tell(Observed("n1", {**UP, "fan.speed": "slow"}))
    assert world.started() == ["fan.raise_speed"]


def test_who_waits_for_others_nodes_says_which_of_them_waits_for_a_person() -> None:
    world = World()
    pool = ("power.switch_on", "cluster")
    world.tell(BudgetSet(*pool, 2, share=0, others="n9 is quarantined: no fan"))
    world.configure(limits=(pool,))
    world.see(power_state="off", image_ready="ready")
    why = world.condition().why
    assert "limit 2, of which 0 may be used here now" in why and "n9 is quarantined: no fan" in why
    assert world.condition().next == "kedge node list --phase quarantined"
    world.tell(BudgetSet(*pool, 2, share=1))
    assert world.started() == ["power.switch_on"]
