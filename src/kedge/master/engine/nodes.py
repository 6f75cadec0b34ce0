"""What the master knows of every node: configured, refined and discovered values, as they came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kedge.core.kinds import Value
from kedge.core.node import Configuration, Observation
from kedge.core.variable import Variable


@dataclass(slots=True)
class NodeState:
    """One node. It is also the snapshot that handlers see (`kedge.modules.port.Node`)."""

    configuration: Configuration
    variables: Mapping[str, Variable]
    refined: dict[str, Value] = field(default_factory=dict[str, Value])
    discovered: dict[str, Observation] = field(default_factory=dict[str, Observation])
    facts: dict[str, Value] = field(default_factory=dict[str, Value])
    attached: bool = False
    adopted: dict[str, str] = field(default_factory=dict[str, str])
    """Orders of the node's former owner that go on, and the steps that they are now."""
    ailing: dict[str, str] = field(default_factory=dict[str, str])
    """What went wrong with duties, by name, when they ran last."""
    changes: int = 0

    @property
    def name(self) -> str:
        """The node's name."""
        return self.configuration.name

    def configured(self, variable: str) -> Value:
        """The value as refined, as configured, or the variable's default."""
        if variable in self.refined:
            return self.refined[variable]
        value = self.configuration.values.get(variable)
        if value is None and variable in self.variables:
            return self.variables[variable].default
        return value

    def seen(self, variable: str) -> Value:
        """The last discovered value, or None."""
        observation = self.discovered.get(variable)
        return observation.value if observation is not None else None

    def goals_from(self) -> dict[str, Value]:
        """All configured values, defaults included, as the graph takes goals from."""
        values: dict[str, Value] = {
            name: variable.default
            for name, variable in self.variables.items()
            if variable.configured and variable.default is not None
        }
        values.update(self.configuration.values)
        values.update(self.refined)
        return values

    def wanted(self, variable: str) -> Value:
        """As `goals_from` has it."""
        if variable in self.refined:
            return self.refined[variable]
        values = self.configuration.values
        return values[variable] if variable in values else self.variables[variable].default

    def adopt(self, variables: Mapping[str, Variable]) -> None:
        """Other variables are declared: forget what was known of those that are no more."""
        self.variables = variables
        for known in (self.refined, self.discovered):
            for name in [name for name in known if name not in variables]:
                del known[name]

    def fingerprint(self) -> str:
        """Another one whenever a person configured other values."""
        return str(self.changes)

    def reconfigure(self, configuration: Configuration) -> frozenset[str]:
        """Take a new configuration; returns the variables whose configured value changed."""
        before, after = self.configuration.values, configuration.values
        self.configuration = configuration
        if before == after:
            return frozenset()
        changed = frozenset(
            name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
        )
        for name in changed:
            self.refined.pop(name, None)
        self.changes += 1
        return changed
