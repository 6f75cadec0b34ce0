"""Every misfit of declarations is refused, and both parties are named."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fake_modules import modules, named
from kedge.core.graph import Graph
from kedge.core.kinds import Anything, Enum, Text
from kedge.core.module import Module
from kedge.core.variable import Relation, Variable
from kedge.lib.errors import KedgeError


def two_discoverers(module: Module) -> None:
    module.discovers("power.state")(named("spy"))  # pyright: ignore[reportArgumentType]


def undiscovered(module: Module) -> None:
    module.edge("go", {module.variable("x", Enum(("a", "b"))): "b"}, where="head")


def unknown_variable(module: Module) -> None:
    x = module.variable("x", Enum(("a", "b")))
    module.listens(x, timeout_s=1)
    module.edge("go", {x: "b"}, where="head", requires={"power.stat": "on"})


def unknown_symbol(module: Module) -> None:
    x = module.variable("x", Enum(("a", "b")))
    module.listens(x, timeout_s=1, requires={"power.state": "purple"})


def unplanned(module: Module) -> None:
    x = module.variable("x", Enum(("a", "b")))
    module.listens(x, timeout_s=1, requires={"image.wanted": "y"})


def while_cycle(module: Module) -> None:
    module.variable("x", Enum(("a",)), while_={"third.y": "a"}, initial="a")
    module.variable("y", Enum(("a",)), while_={"third.x": "a"}, initial="a")


def on_timeout(module: Module) -> None:
    x = module.variable("x", Enum(("a", "b")))
    y = module.variable("y", Enum(("a", "b")))
    module.listens(x, y, timeout_s=1)
    module.edge("go", {x: "b"}, where="head", on_timeout={y: "a"})


def declared_twice(module: Module) -> None:
    module.variable("x", Enum(("a",)))
    module.variable("x", Enum(("b",)))


def a_symbol_twice(module: Module) -> None:
    module.variable("x", Enum(("a", "b", "a")))


def protects_an_unknown_symbol(module: Module) -> None:
    module.protects("power.state", {"power.state": "on"}, to="purple")


def live_and_destructive(module: Module) -> None:
    x = module.variable("x", Enum(("a", "b")))
    module.listens(x, timeout_s=1)
    module.edge("go", {x: "b"}, where="head", live=True, destructive=True)


def breaks_its_own_guard(module: Module) -> None:
    x = module.variable("x", Enum(("a", "b")), while_={"power.state": "on"}, initial="a")
    module.listens(x, timeout_s=1)
    module.edge("go", {x: "b", "power.state": "off"}, where="head")  # pyright: ignore


def contradiction(module: Module) -> None:
    module.protects("power.state", {"power.state": "on"}, why="never switch")


def bad_relation(module: Module) -> None:
    relation = Relation("power.nothing", ("a",), "a", lambda a, b: "a")
    module.variable("x", Anything(), relation=relation)


def bad_initial(module: Module) -> None:
    module.variable("x", Enum(("a",)), while_={"power.state": "on"}, initial="z")


def no_cost(module: Module) -> None:
    x = module.variable("x", Enum(("a", "b")))
    module.listens(x, timeout_s=1)
    module.edge("go", {x: "b"}, where="head", cost_s=0)


OBSERVES = "def observe(here):\n    return {}\n"


def duty_speaks_for_another(module: Module) -> None:
    stage = Variable("boot.stage", Enum(("none",)))
    module.duty("look", OBSERVES, reports=[stage])
    module.discoveries.clear()  # it would be refused for a second discoverer, too


def duty_does_not_do_what_it_declares(module: Module) -> None:
    x = module.variable("x", Enum(("a", "b")))
    module.duty("look", "def look(here):\n    return {}\n", reports=[x])


def duty_is_no_python(module: Module) -> None:
    x = module.variable("x", Enum(("a", "b")))
    module.duty("look", "def observe(here:\n", reports=[x])


def duty_is_too_large(module: Module) -> None:
    x = module.variable("x", Enum(("a", "b")))
    module.duty("look", OBSERVES + "#" * 70_000, reports=[x])


def duty_runs_all_the_time(module: Module) -> None:
    x = module.variable("x", Enum(("a", "b")))
    module.duty("look", OBSERVES, reports=[x], every_s=0.1)


def duty_carries_out_what_the_head_does(module: Module) -> None:
    x = module.variable("x", Enum(("a", "b")))
    module.listens(x, timeout_s=1)
    go = module.edge("go", {x: "b"}, where="head")
    module.duty("look", "def carry_out(here, mutation, args):\n    pass\n", carries_out=[go])


def duty_is_for_nodes_with_anothers_value(module: Module) -> None:
    x = module.variable("x", Enum(("a", "b")))
    other = Module("image", summary="").variable("wanted", Text(), configured=True)
    module.duty("look", OBSERVES, reports=[x], where_set=other)


@pytest.mark.parametrize(
    ("spoil", "code", "parties"),
    [
        (two_discoverers, "two_discoverers", ("power.read", "third.spy", "power.state")),
        (undiscovered, "undiscovered", ("third.go", "third.x")),
        (
            unknown_variable,
            "unknown_variable",
            ("third.go", "power.stat", "did you mean power.state"),
        ),
        (unknown_symbol, "unknown_symbol", ("third.listen", "power.state=purple", "off, on")),
        (unplanned, "unplanned", ("third.listen", "image.wanted")),
        (while_cycle, "while_cycle", ("third.x", "third.y")),
        (on_timeout, "on_timeout", ("third.go", "third.y")),
        (declared_twice, "twice", ("third.x",)),
        (a_symbol_twice, "twice", ("third.x", "symbol a")),
        (breaks_its_own_guard, "reset", ("third.go", "third.x", "power.state")),
        (contradiction, "contradiction", ("power.", "third")),
        (bad_relation, "unknown_variable", ("third.x", "power.nothing")),
        (bad_initial, "unknown_symbol", ("third.x", "'z'")),
        (no_cost, "cost", ("third.go",)),
        (protects_an_unknown_symbol, "unknown_symbol", ("third", "power.state=purple")),
        (live_and_destructive, "live", ("third.go",)),
        (duty_speaks_for_another, "duty", ("third.look", "boot.stage")),
        (duty_does_not_do_what_it_declares, "duty", ("third.look", "observe", "third.x")),
        (duty_is_no_python, "duty", ("third.look", "is not Python")),
        (duty_is_too_large, "duty", ("third.look", "65536")),
        (duty_runs_all_the_time, "duty", ("third.look", "0.1 s", "5 s")),
        (duty_carries_out_what_the_head_does, "duty", ("third.look", "third.go", "node")),
        (duty_is_for_nodes_with_anothers_value, "duty", ("third.look", "image.wanted")),
    ],
)
def test_a_misfit_is_refused(
    spoil: Callable[[Module], None], code: str, parties: tuple[str, ...]
) -> None:
    third = Module("third", summary="")
    spoil(third)
    with pytest.raises(KedgeError) as caught:
        Graph.of([*modules(), third])
    assert caught.value.code == f"graph.{code}"
    for party in parties:
        assert party in str(caught.value)


def test_one_module_may_be_registered_once() -> None:
    with pytest.raises(KedgeError, match="twice"):
        Graph.of([*modules(), Module("power", summary="")])


def test_several_errors_are_told_at_once() -> None:
    third = Module("third", summary="")
    undiscovered(third)
    two_discoverers(third)
    with pytest.raises(KedgeError) as caught:
        Graph.of([*modules(), third])
    assert "third.spy" in str(caught.value) and "third.go" in str(caught.value)


def test_goals_follow_from_what_is_configured() -> None:
    graph = Graph.of(modules())
    wanted = {"image.wanted": "registry/compute:1"}
    assert graph.goals({**wanted, "power.state": "on"}) == {
        "image.running": "wanted",
        "power.state": "on",
    }
    assert graph.goals({**wanted, "power.state": "off"}) == {"power.state": "off"}
    assert graph.goals({}) == {}


def test_symbols_of_raw_values() -> None:
    graph = Graph.of(modules())
    assert graph.symbol("power.state", "on", None) == "on"
    assert graph.symbol("power.state", "purple", None) == "unknown"
    assert graph.symbol("power.state", None, None) == "unknown"
    assert graph.symbol("image.running", "a", "a") == "wanted"
    assert graph.symbol("image.running", "kernel", "a") == "kernel"
    assert graph.symbol("image.running", "nonsense", "a") == "unknown"
    assert graph.symbol("image.running", "a", None) == "unknown"


def test_a_relation_that_raises_harms_its_own_variable_only() -> None:
    def broken(discovered: object, configured: object) -> str:
        return {}["x"]  # type: ignore[return-value]

    module = Module("m", summary="")
    module.variable("wanted", Text(), configured=True)
    module.variable("v", Anything(), relation=Relation("m.wanted", ("a",), "a", broken))
    assert Graph.of([module]).symbol("m.v", 1, 2) == "unknown"


def test_mutations_are_closed_under_resets_and_protections() -> None:
    guard = Module("scheduler", summary="")
    state = guard.variable("state", Enum(("busy", "drained")))
    guard.listens(state, timeout_s=60)
    guard.protects("boot.stage", {state: "drained"}, why="jobs run")
    compiled = Graph.of([*modules(), guard]).compiled
    off = compiled.mutation_actions["power.switch_off"]
    assert compiled.named(off.writes) == {
        "power.state": "off",
        "boot.stage": "none",
        "image.running": "none",
    }
    assert compiled.named(off.own) == {"power.state": "off"}
    drained = (compiled.number["scheduler.state"], frozenset([2]))
    assert drained in off.reads
    assert drained in compiled.mutation_actions["image.activate"].reads
    assert drained not in compiled.mutation_actions["image.fetch"].reads


def test_a_protection_may_bind_only_what_leads_to_a_symbol_and_never_what_is_live() -> None:
    guard = Module("health", summary="")
    verdict = guard.variable("verdict", Enum(("pass", "fail")))
    guard.listens(verdict, timeout_s=60)
    guard.protects("power.state", {verdict: "pass"}, why="not well", to="on")
    guard.protects("image.running", {verdict: "pass"})
    live = Module("live", summary="")
    live.edge(
        "files", {"image.running": "wanted"}, where="head",
        requires={"image.running": "files"}, live=True,
    )  # fmt: skip
    compiled = Graph.of([*modules(), guard, live]).compiled
    demand = (compiled.number["health.verdict"], frozenset([1]))
    actions = compiled.mutation_actions
    assert demand in actions["power.switch_on"].reads
    assert demand in actions["image.activate"].reads
    assert demand not in actions["live.files"].reads
    # switching off resets image.running, and that is a change of it; power.state=off alone is not
    assert demand in actions["power.switch_off"].reads
    only = Module("health", summary="")
    verdict = only.variable("verdict", Enum(("pass", "fail")))
    only.listens(verdict, timeout_s=60)
    only.protects("power.state", {verdict: "pass"}, to=("on",))
    actions = Graph.of([*modules(), only]).compiled.mutation_actions
    assert demand not in actions["power.switch_off"].reads
