"""Running the gates of rollouts: the site's own commands, at the head, with a deadline and a log.

A gate is begun whenever a rollout asks for one that does not run; so after a restart it simply runs
again. Its processes end with the master and at their deadline, whatever they do.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kedge.lib.nodeset import fold
from kedge.lib.site_files import is_plain
from kedge.master.process.command import RunCommand, run
from kedge.master.process.supervisor import outcome
from kedge.rollout.compare import compare
from kedge.rollout.model import Rollout, RunGate, key

AT_ONCE = 4
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PASSED_ON = ("SLURM_CONF",)
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")

Ended = Callable[[str, str, bool, str], None]
"""Rollout, key of the gate, whether it passed, and why (not)."""


class Gates:
    """All gates that run now. ``folder`` is where logs and the site's files for them lie."""

    def __init__(self, folder: Path, ended: Ended, run_command: RunCommand = run) -> None:
        self._run_command = run_command
        self._folder = folder
        self._ended = ended
        self._running: dict[tuple[str, str], asyncio.Task[None]] = {}

    def ensure(self, rollout: Rollout, action: RunGate, files: Mapping[str, str]) -> None:
        """Run the gate, unless it does already."""
        name = key(action.stage, action.gate.name)
        task = self._running.get((rollout.name, name))
        if task is None or task.done():
            work = self._run(rollout, action, files)
            self._running[rollout.name, name] = asyncio.create_task(work, name=f"gate {name}")

    def end(self, rollout: str) -> None:
        """End all gates of a rollout; nobody wants to know any more."""
        for (name, gate), task in list(self._running.items()):
            if name == rollout:
                task.cancel()
                del self._running[name, gate]

    async def close(self) -> None:
        """End all."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, rollout: Rollout, action: RunGate, files: Mapping[str, str]) -> None:
        passed: list[tuple[bool, str]] = []

        async def work() -> None:
            place = self._folder / rollout.name
            await asyncio.to_thread(write_files, place / "site", files)
            log = place / f"{action.stage}.{action.gate.name}.log"
            log.unlink(missing_ok=True)
            async with asyncio.timeout(action.gate.deadline_s):
                if action.gate.kind == "compare":
                    passed.append(await _compare(self._run_command, rollout, action, log))
                else:
                    passed.append(await _command(self._run_command, rollout, action, log))

        error = await outcome(work)
        if isinstance(error, TimeoutError):
            passed.append((False, f"it did not end within {action.gate.deadline_s:.0f} s"))
        elif error is not None:
            passed.append((False, str(error)))
        name = key(action.stage, action.gate.name)
        self._ended(rollout.name, name, *passed[-1])


async def _command(
    run_command: RunCommand, rollout: Rollout, action: RunGate, log: Path
) -> tuple[bool, str]:
    words = _words(rollout, action, action.nodes)
    ran = await run_command(words, _environment(rollout, action), log.parent / "site", log)
    if ran.status == 0:
        return True, ran.tail
    return False, f"status {ran.status}: {ran.tail or 'it wrote nothing'} (log: {log})"


async def _compare(
    run_command: RunCommand, rollout: Rollout, action: RunGate, log: Path
) -> tuple[bool, str]:
    """Ask node by node until the numbers say something, or there are no more nodes to ask."""
    gate = action.gate
    new, old = _Samples(action.nodes[: gate.most]), _Samples(action.old[: gate.most])
    room = asyncio.Semaphore(AT_ONCE)

    async def sample(samples: _Samples, node: str) -> None:
        own = log.with_name(f"{log.stem}.{node}.log")  # several write at once
        own.unlink(missing_ok=True)
        async with room:
            words = _words(rollout, action, (node,))
            environment = _environment(rollout, action)
            ran = await run_command(words, environment, log.parent / "site", own)
        numbers = _NUMBER.findall(ran.text.strip().splitlines()[-1]) if ran.text.strip() else []
        if ran.status or not numbers or float(numbers[-1]) <= 0:
            samples.failed[node] = f"status {ran.status}: {ran.tail or 'it wrote no number'}"
        else:
            samples.numbers.append(float(numbers[-1]))

    while True:
        wave = [(s, node) for s in (new, old) for node in s.take(gate.least)]
        await asyncio.gather(*(sample(samples, node) for samples, node in wave))
        if new.failed:
            node, why = next(iter(new.failed.items()))
            return False, f"on {node}: {why} (logs: {log.stem}.NODE.log in {log.parent})"
        last = not new.left and not old.left
        told = compare(
            new.numbers, old.numbers, slower_by=gate.slower_by, least=gate.least, last=last
        )
        if told.verdict != "unclear":
            return told.verdict == "passed", told.words
        if last:
            return False, (
                f"too few numbers to compare: {told.new} nodes of the new release and {told.old} of "
                f"the old one, {gate.least} of each are needed"
            )


class _Samples:
    """Numbers of one release, and the nodes that can still be asked."""

    def __init__(self, nodes: Sequence[str]) -> None:
        self.left = list(nodes)
        self.numbers: list[float] = []
        self.failed: dict[str, str] = {}

    def take(self, count: int) -> list[str]:
        taken, self.left = self.left[:count], self.left[count:]
        return taken


def _words(rollout: Rollout, action: RunGate, nodes: Sequence[str]) -> list[str]:
    """The command, with ``{nodes}``, ``{node}``, ``{count}`` and ``{release}`` put in."""
    put = {
        "{nodes}": fold(nodes),
        "{node}": nodes[0] if nodes else "",
        "{count}": str(len(nodes)),
        "{release}": rollout.release,
    }
    words = list(action.gate.command)
    for pattern, text in put.items():
        words = [word.replace(pattern, text) for word in words]
    return words


def _environment(rollout: Rollout, action: RunGate) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", PATH),
        "HOME": os.environ.get("HOME", "/"),
        **{name: os.environ[name] for name in PASSED_ON if name in os.environ},
        "LC_ALL": "C.UTF-8",
        "KEDGE_ROLLOUT": rollout.name,
        "KEDGE_RELEASE": rollout.release,
        "KEDGE_STAGE": action.stage,
        "KEDGE_GATE": action.gate.name,
        "KEDGE_NODES": fold(action.nodes),
    }


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """The site's files, for commands that are among them."""
    for name, text in files.items():
        if not is_plain(name):  # one that was applied before such names were refused
            continue
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    folder.mkdir(parents=True, exist_ok=True)
