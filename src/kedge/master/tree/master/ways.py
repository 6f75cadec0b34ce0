"""The ways to sub-masters: straight from the master, or below another one, which passes on."""

from __future__ import annotations

from collections.abc import Iterable

from kedge.core.lease import MASTER
from kedge.lib.errors import KedgeError
from kedge.master.tree.passing import MOST_DEPTH, MOST_WAY_BYTES, before


class Ways:
    """Who is below whom. ``above`` holds those that are not the master's own."""

    def __init__(self, above: Iterable[tuple[str, str]] = ()) -> None:
        self.above = dict(above)

    def way(self, name: str) -> tuple[str, ...]:
        """From the master's own one to ``name``."""
        found = [name]
        while (name := self.above.get(name, "")) and len(found) <= MOST_DEPTH:
            found.append(name)
        return tuple(reversed(found))

    def directly_below(self, name: str) -> list[str]:
        """Those that ``name`` itself passes on to."""
        return sorted(child for child, parent in self.above.items() if parent == name)

    def all_below(self, name: str) -> list[str]:
        """Those that are told something through ``name``, the nearer ones first."""
        found: list[str] = []
        for child in self.directly_below(name):
            found += [child, *self.all_below(child)]
        return found

    def check(self, name: str, below: str) -> None:
        """Raise `KedgeError` where ``name`` cannot be below ``below``."""
        if below == name or below in self.all_below(name):
            raise KedgeError(
                "submaster.circle", f"{name} cannot be below {below}",
                why="it is below itself then" if below == name else f"{below} is below {name}",
                next_step="kedge submaster list shows which one is below which",
            )  # fmt: skip
        then = Ways({**self.above, name: below}.items())
        for each in (name, *self.all_below(name)):
            way = then.way(each)
            if len(way) > MOST_DEPTH:
                raise KedgeError(
                    "submaster.depth", f"{each} would be {len(way)} sub-masters deep",
                    why=f"{' > '.join((MASTER, *way))}; {MOST_DEPTH} are the most",
                    next_step=f"Put {name} below one that is nearer to the master",
                )  # fmt: skip
            if len(before(way)) > MOST_WAY_BYTES:
                raise KedgeError(
                    "submaster.names", f"the names on the way to {each} are too long together",
                    why=f"{' > '.join(way)} take {len(before(way))} of {MOST_WAY_BYTES} bytes",
                    next_step="Take shorter names",
                )  # fmt: skip
