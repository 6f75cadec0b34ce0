"""Several people at one rollout: all watch it to its end, and of two who speak at once one is told."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from test_rollouts import environment, rolled

__all__ = ("environment",)


async def watching() -> asyncio.subprocess.Process:
    """Somebody at a terminal of their own."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "kedge.cli.main", "rollout", "watch", "weekly",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip


async def test_several_people_watch_a_rollout_and_one_of_two_approves_it(
    environment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with rolled(environment, capsys) as rolling:
        await rolling.kedge("rollout", "start", "weekly", "--release", "B", "--yes")
        people = [await watching() for _ in range(4)]
        await rolling.until(lambda f: f["waits"] and "for approval" in f["waits"][0])
        people.append(await watching())  # one who comes late
        first = people.pop(0)
        first.kill()  # one who goes
        await first.wait()
        answers = await asyncio.gather(
            *(rolling.cluster.kedge("rollout", "approve", "weekly") for _ in range(2))
        )
        assert sorted(answers) == [0, 1]
        assert "there is nothing to approve: rollout weekly is running" in capsys.readouterr().err
        told = await asyncio.wait_for(asyncio.gather(*(p.communicate() for p in people)), 60)
        assert rolling.cluster.operations.rollouts.show("weekly")["state"] == "done"
        for person, (text, _) in zip(people, told, strict=True):
            assert person.returncode == 0, text.decode()
            assert "done" in text.decode()
