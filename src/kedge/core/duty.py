"""Duties: the part of a module that runs on nodes, one small file that needs only the standard library.

The file travels to the nodes by its digest. Whoever reads this page sees what is declared of it here;
how it is carried, run and bounded is the agent's (`kedge.agent.travelling`).
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

SOURCE_MAX_BYTES = 65_536
EVERY_LEAST_S = 5.0
TIMEOUT_MOST_S = 3600.0
STAGES = ("layer0", "running")
OBSERVE, CARRY_OUT = "observe", "carry_out"


@dataclass(frozen=True)
class Duty:
    """One file of a module that nodes run.

    - ``reports``: variables of its own module that its ``observe(here)`` returns, asked every
      ``every_s`` (0: only at the start, after an order and after a change of configuration).
    - ``orders``: mutations of its own module, carried out on the node, that its
      ``carry_out(here, mutation, args)`` does.
    - ``timeout_s``: how long ``observe`` may take; an order has its mutation's time-out.
    - ``stages``: in which stages of the boot it runs.
    - ``where_set``: a configured variable of its own module: nodes without a value have no such duty.
    """

    name: str
    source: str
    reports: tuple[str, ...] = ()
    orders: tuple[str, ...] = ()
    every_s: float = 0.0
    timeout_s: float = 30.0
    stages: tuple[str, ...] = ("running",)
    where_set: str = ""
    summary: str = ""

    @property
    def module(self) -> str:
        """The module that declared it."""
        return self.name.partition(".")[0]

    @cached_property
    def content(self) -> bytes:
        """The file as it travels."""
        return self.source.encode()

    @cached_property
    def digest(self) -> str:
        """What the file is named by, everywhere."""
        return f"sha256:{hashlib.sha256(self.content).hexdigest()}"

    def problems(self) -> Iterator[tuple[str, str]]:
        """What of the declaration alone cannot be right: what, and why or what is valid."""
        if len(self.content) > SOURCE_MAX_BYTES:
            yield (
                f"has {len(self.content)} bytes",
                f"at most {SOURCE_MAX_BYTES}: every node holds it",
            )
        if self.every_s and self.every_s < EVERY_LEAST_S:
            yield f"is to run every {self.every_s:g} s", f"at least {EVERY_LEAST_S:g} s lie between"
        if not 0 < self.timeout_s <= TIMEOUT_MOST_S:
            yield f"has the time-out {self.timeout_s:g} s", f"valid: up to {TIMEOUT_MOST_S:g} s"
        for stage in sorted(set(self.stages) - set(STAGES)):
            yield f"runs in the stage {stage!r}", "valid: " + ", ".join(STAGES)
        if not self.stages:
            yield "runs in no stage", "valid: " + ", ".join(STAGES)
        if not self.reports and not self.orders:
            yield "does nothing", "it neither reports a variable nor carries out a mutation"
        yield from self._problems_of_source()

    def _problems_of_source(self) -> Iterator[tuple[str, str]]:
        try:
            tree = ast.parse(self.source, self.name)
        except (SyntaxError, ValueError) as error:
            yield "is not Python", str(error)
            return
        defined = {part.name for part in tree.body if isinstance(part, ast.FunctionDef)}
        for function, needed in ((OBSERVE, self.reports), (CARRY_OUT, self.orders)):
            if needed and function not in defined:
                yield f"defines no function {function}", "it is declared for " + ", ".join(needed)
