"""Learned costs and budgets, as people get to see them; what was learned outlives a restart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from small_master import FILES, calm, converged, small_master, until


async def test_what_was_learned_is_there_after_a_restart(tmp_path: Path) -> None:
    def cost(master: Any) -> dict[str, Any]:
        (row,) = [row for row in master.operations.looks.costs() if row["runs"]] or [{}]
        return row

    async with small_master(tmp_path, calm()) as master:
        declared = master.operations.looks.costs()
        assert [(row["mutation"], row["hardware"], row["runs"]) for row in declared] == [
            ("calm.turn_on", "", 0)
        ]
        await until(lambda: converged(master))
        before = cost(master)
        assert before["runs"] == 4 and before["learned_s"] == 1
    async with small_master(tmp_path, calm(), again=True) as master:
        assert cost(master) == before


async def test_who_uses_a_budget_and_who_waits(tmp_path: Path) -> None:
    text = FILES["site.yaml"] + "budgets: { calm.*: 1, out_of_service: 50% }\n"
    async with small_master(tmp_path, calm(slow_s=0.2)) as master:
        master.operations.apply({"site.yaml": text}, "test")
        rows: dict[str, Any] = {}

        def queued() -> bool:
            rows.update({row["budget"]: row for row in master.operations.looks.budgets()})
            return rows["calm.*"]["waiting_count"] == 3

        await until(queued)
        assert rows["calm.*"] == {
            "budget": "calm.*", "pool": "cluster", "span": False, "limit": 1, "used": 1, "share": None,
            "users": "n1", "down": "", "waiting": "n[2-4]", "waiting_count": 3,
            "first": ["n2", "n3", "n4"],
        }  # fmt: skip
        assert rows["out_of_service"]["limit"] == 2 and rows["out_of_service"]["span"]
        await until(lambda: converged(master))


async def test_why_goes_back_to_who_wanted_it(tmp_path: Path) -> None:
    async with small_master(tmp_path, calm()) as master:
        await until(lambda: converged(master))
        found = master.operations.looks.why("n2")
        chain = found["chain"]
        assert [link["kind"] for link in chain][-2:] == ["step", "rest"]
        assert chain[0]["words"].startswith("test: apply: ") and found["phase"] == "converged"
        by_number = {link["seq"]: link for link in chain}
        step = by_number[chain[-1]["because"]]
        assert step["words"] == "calm.turn_on was done"
        assert step["until"] >= step["at"] > 0
        master.operations.hold("n2", "fan", "alice")
        assert master.operations.looks.why("n2")["chain"][-2:][0]["words"].startswith(
            "alice: hold n2"
        )
