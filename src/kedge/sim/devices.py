"""Machines that are not there: real modules' declarations with handlers that only pretend.

A simulated machine holds a symbol for each planned variable. Carrying a mutation out waits for its
declared cost (times ``pace``) and then sets the declared effects; a discovery reads what is held. So
the graph, the planner and the engine are the real ones, and only the devices are not.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial

from kedge.core.kinds import Anything, Value
from kedge.core.module import Module
from kedge.core.mutation import Discovery, Mutation
from kedge.core.variable import Relation, Variable
from kedge.lib.errors import KedgeError
from kedge.master.process.attribution import current_module
from kedge.modules.port import Io, Node

SERVICE = "scheduler.state"
NEVER_S = 1e9


class Machines:
    """What every simulated machine holds: for each variable a symbol and, for those that are held
    against a configured value, the value that it was made for."""

    def __init__(self, *, pace: float, seed: int = 1) -> None:
        self.pace = pace
        self._chance = random.Random(seed)
        self._variables: dict[str, Variable] = {}
        self._reported: set[str] = set()
        self._held: dict[str, dict[str, tuple[str, Value]]] = {}
        self._copies: dict[str, tuple[Module, Module]] = {}

    def simulated(self, modules: Iterable[Module]) -> list[Module]:
        """The same declarations on these machines. Called again with others, the machines stay as they
        are, and a module that is the same one has the same copy."""
        real = list(modules)
        self._variables = {v.name: v for m in real for v in m.variables if v.planned}
        heard = (d for m in real for d in m.discoveries if d.handler is None)
        self._reported = {name for d in heard for name in d.variables}
        for module in real:
            known = self._copies.get(module.name)
            if known is None or known[0] is not module:
                self._copies[module.name] = module, _simulate(module, self)
        return [self._copies[module.name][1] for module in real]

    def read(self, node: Node, variables: Iterable[str]) -> dict[str, Value]:
        """What a discovery of ``variables`` sees."""
        held = self._held.setdefault(node.name, {})
        seen: dict[str, Value] = {}
        for name in variables:
            variable = self._variables.get(name)
            if variable is None:
                continue  # not planned: nothing that is not there shows it
            symbol, made_for = held.get(name) or (_at_first(variable, node), None)
            seen[name] = raw(variable.relation, symbol, made_for) if variable.relation else symbol
        return seen

    def set(self, node: Node, effects: Mapping[str, str]) -> None:
        """The machine takes on ``effects``; what loses its meaning falls back to its initial value."""
        held = self._held.setdefault(node.name, {})
        for name, symbol in effects.items():
            relation = self._variables[name].relation
            held[name] = (symbol, node.configured(relation.to) if relation else None)
        for _ in self._variables:
            for name, variable in self._variables.items():
                broken = any(
                    held.get(parent, ("",))[0] not in allowed
                    for parent, allowed in variable.while_.items()
                )
                if broken and variable.initial is not None:
                    held[name] = (variable.initial, None)

    async def carry_out(self, mutation: Mutation, node: Node, io: Io) -> None:
        """Pretend a mutation."""
        await asyncio.sleep(mutation.cost_s * self.pace * self._chance.uniform(0.8, 1.2))
        self.set(node, mutation.effects)
        current_module.set("")  # the machine speaks, not the module
        told = [name for name in self._variables if name in self._reported]
        io.observe(node.name, self.read(node, told), by="simulated")

    async def discover(self, discovery: Discovery, node: Node, io: Io) -> None:
        """Pretend a discovery."""
        await asyncio.sleep(0.05 * self.pace)
        io.observe(node.name, self.read(node, discovery.variables), by="simulated")


def _at_first(variable: Variable, node: Node) -> str:
    """What a machine shows that nobody has done anything with."""
    if variable.name == SERVICE and node.configured(SERVICE) is not None:
        return "down"  # a scheduler has it, as it is wanted to take jobs
    return variable.initial or variable.domain[1]


def raw(relation: Relation, symbol: str, made_for: Value) -> Value:
    """What a simulated device shows where a real one has a value of its own: at the goal what it was
    made for (an image's reference), else ``(none)``."""
    return made_for if symbol == relation.goal and made_for is not None else f"({symbol})"


def stands(relation: Relation, discovered: Value, configured: Value) -> str:
    """How a simulated value stands to what is configured now."""
    for symbol in relation.values:
        if discovered == f"({symbol})":
            return symbol
    if discovered == configured:
        return relation.goal
    return [symbol for symbol in relation.values if symbol != relation.goal][-1]


def simulated(modules: Iterable[Module], *, pace: float = 1.0, seed: int = 1) -> list[Module]:
    """The same declarations on machines that are not there; services are left out."""
    return Machines(pace=pace, seed=seed).simulated(modules)


def _simulate(module: Module, machines: Machines) -> Module:
    copy = Module(module.name, summary=f"{module.summary} (simulated)", version=module.version)
    copy.variables = [_pretended(variable) for variable in module.variables]
    copy.actions = {
        name: act if name in module.harmless else partial(_refuse, f"{module.name} {name}")
        for name, act in module.actions.items()
    }
    if "resolve" in copy.actions:
        copy.actions["resolve"] = _resolve
    copy.harmless = set(module.harmless)
    copy.protections = list(module.protections)
    copy.mutations = [
        replace(m, where="head", handler=partial(machines.carry_out, m)) for m in module.mutations
    ]
    for discovery in module.discoveries:
        copy.discoveries += _pretended_discovery(discovery, copy.variables, machines)
    return copy


def _pretended_discovery(
    discovery: Discovery, variables: Iterable[Variable], machines: Machines
) -> list[Discovery]:
    """A discovery that asks the pretended machine. What is only listened for, and stands for nothing where
    nothing is configured that it is held against, goes on being listened for: a question without an
    answer would have failed."""
    ask = partial(machines.discover, discovery)
    related = {v.name for v in variables if v.relation is not None}
    heard = tuple(name for name in discovery.variables if name in related)
    if discovery.handler is not None or not heard or len(heard) == len(discovery.variables):
        return [replace(discovery, handler=ask)]
    asked = tuple(name for name in discovery.variables if name not in related)
    apart = replace(
        discovery,
        name=f"{discovery.name}_related",
        variables=heard,
        timeout_s=NEVER_S,
        on_timeout={},
    )
    return [replace(discovery, variables=asked, handler=ask), apart]


async def _refuse(name: str, io: Io, args: Mapping[str, Value]) -> Value:
    raise KedgeError(
        "sim.action", f"a simulated head cannot carry out {name}",
        why="it has no images and no boot environment: its machines only pretend to boot",
        next_step="Nodes move without it: kedge node set NODESET image.wanted=REFERENCE",
    )  # fmt: skip


async def _resolve(io: Io, args: Mapping[str, Value]) -> Value:
    """Every image is there: its digest is that of its name. One whose name holds ``missing`` is not."""
    reference, arch = str(args.get("reference") or ""), str(args.get("arch") or "")
    if "missing" in reference:
        raise KedgeError(
            "image.not_found", "the registry has no such image", where=reference,
            next_step="Push it, or correct the name",
        )  # fmt: skip
    digest = hashlib.sha256(f"{reference} {arch}".encode()).hexdigest()
    return {"reference": reference, "arch": arch, "digest": f"sha256:{digest}"}


def _pretended(variable: Variable) -> Variable:
    if variable.relation is None:
        return variable
    relation = variable.relation
    return replace(
        variable, kind=Anything(), relation=replace(relation, of=partial(stands, relation))
    )
