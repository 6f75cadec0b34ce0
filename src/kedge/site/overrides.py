"""Lays what a person set by command (``kedge node set``, ``kedge node hold``) over a site."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from kedge.core.kinds import Kind, Struct, Value, ValueProblem
from kedge.core.node import Configuration
from kedge.core.variable import Variable
from kedge.lib.errors import KedgeError
from kedge.site import words
from kedge.site.checks import check_unique
from kedge.site.model import Origin, Site
from kedge.site.problems import Place, Problems, listed, shorten


@dataclass(frozen=True, slots=True)
class Override:
    """A value (or, for a hold, a reason) that a person set, by whom and when (since the epoch), and
    of what, where it was not the node itself."""

    value: Value
    by: str = ""
    at: float = 0.0
    of: str = ""

    @property
    def origin(self) -> Origin:
        """``set by alice`` (``group rack1, set by alice``), and when."""
        words = f"set by {self.by}" if self.by else "set"
        return Origin(f"{self.of}, {words}" if self.of else words, at=self.at)


Overrides = Mapping[str, Mapping[str, Value | Override]]
"""Node -> variable (or a key within one, ``power.bmc.address``) -> value."""

Holds = Mapping[str, str | Override]
"""Node -> the reason why it is left alone."""


def with_overrides(
    site: Site, overrides: Overrides, holds: Holds, variables: Mapping[str, Variable]
) -> Site:
    """The site with these values and holds on top; those of nodes that are gone are passed over.

    Raises `KedgeErrors` when a value is refused, or makes two nodes share what they may not.
    """
    problems = Problems()
    nodes, origins = dict(site.nodes), dict(site.origins)
    for name in (*overrides, *(node for node in holds if node not in overrides)):
        node = nodes.get(name)
        if node is None:
            continue
        own = dict(origins.get(name, {}))
        for variable, given in overrides.get(name, {}).items():
            override = given if isinstance(given, Override) else Override(given)
            try:
                if not _is_so(node, variable, override.value):
                    node = _set(node, variable, override.value, variables)
            except KedgeError as error:
                problems.add(error, Place(name))
                continue
            own[variable] = override.origin
            own[".".join(variable.split(".")[:2])] = override.origin
        reason = holds.get(name)
        if reason is not None:
            held = reason if isinstance(reason, Override) else Override(reason)
            node = replace(node, hold=str(held.value))
            own["hold"] = held.origin
        nodes[name], origins[name] = node, own
    if overrides:
        check_unique(nodes, origins, problems)
    problems.raise_any()
    return replace(site, nodes=nodes, origins=origins)


def _is_so(node: Configuration, variable: str, value: Value) -> bool:
    """Whether a text is configured already, and so was checked: the release that a node has, most often."""
    return isinstance(value, str) and node.values.get(variable) == value


def check_override(
    site: Site, node: str, variable: str, value: Value, variables: Mapping[str, Variable]
) -> Value:
    """The canonical value that ``kedge node set`` keeps; raises `KedgeError` when it may not.

    Of a mapping it keeps the given keys only, so that the others go on following the site.
    """
    known = site.nodes.get(node)
    if known is None:
        near = Problems().nearest(node, list(site.nodes))
        raise KedgeError(
            "site.unknown_node",
            f"unknown node {shorten(node, 80)!r}",
            next_step=f"Did you mean {near}?" if near else "See: kedge node list",
        )
    changed = _set(known, variable, value, variables)
    parts = variable.split(".")
    checked = changed.values[".".join(parts[:2])]
    for key in parts[2:]:
        checked = checked.get(key) if isinstance(checked, dict) else None
    return _given(checked, value)


def _given(checked: Value, given: Value) -> Value:
    """The canonical values of the given keys."""
    if isinstance(checked, dict) and isinstance(given, dict):
        return {key: _given(checked.get(key), value) for key, value in given.items()}
    return checked


def _set(
    node: Configuration, name: str, value: Value, variables: Mapping[str, Variable]
) -> Configuration:
    parts = name.split(".")
    variable = variables.get(".".join(parts[:2]))
    settable = sorted(v.name for v in variables.values() if v.configured)
    if variable is None or not variable.configured:
        near = Problems().nearest(name, settable)
        what = f"unknown variable {shorten(name, 80)!r}"
        raise KedgeError(
            "site.unknown_variable" if variable is None else "site.not_configurable",
            what if variable is None else f"{name} is only discovered and cannot be set",
            where=node.name,
            next_step=(f"Did you mean {near}? " if near else "") + f"Valid: {listed(settable)}",
        )
    if variable.secret or any(words.is_secret_key(part) for part in parts[1:]):
        raise _secret(node.name, name)
    whole = _merged(variable.kind, node.values.get(variable.name), parts[2:], value)
    if _holds_secret(whole):
        raise _secret(node.name, name)
    try:
        checked = variable.kind.check(whole)
    except ValueProblem as problem:
        full = f"{variable.name}.{problem.key}" if problem.key else variable.name
        raise KedgeError(
            "site.bad_value",
            f"{full}: {shorten(problem.what)}",
            where=node.name,
            next_step=f"Give {problem.valid}",
        ) from None
    return replace(node, values={**node.values, variable.name: checked})


def _merged(kind: Kind, before: Value, path: list[str], value: Value) -> Value:
    """``value`` laid over ``before``: within a `Struct` key by key, else instead of it."""
    if path:
        value = {path[0]: value} if len(path) == 1 else _nest(path, value)
    if isinstance(kind, Struct) and isinstance(value, dict) and isinstance(before, dict):
        merged = dict(before)
        for key, item in value.items():
            inner = kind.fields.get(key)
            merged[key] = item if inner is None else _merged(inner, before.get(key), [], item)
        return merged
    return value


def _nest(path: list[str], value: Value) -> Value:
    for key in reversed(path):
        value = {key: value}
    return value


def _holds_secret(value: Value) -> bool:
    if isinstance(value, str):
        return words.is_secret_text(value)
    if isinstance(value, list):
        return any(map(_holds_secret, value))
    if isinstance(value, dict):
        return any(words.is_secret_key(key) or _holds_secret(item) for key, item in value.items())
    return False


def _secret(node: str, name: str) -> KedgeError:
    return KedgeError(
        "site.secret_inline",
        f"{name} holds a secret; a site only names secrets",
        where=node,
        next_step="Put it into secrets.yaml of the state directory and set its name here",
    )
