"""Receive, verify, apply and acknowledge, beside a C loop that answers the same datagrams with no work,
and beside what no parent in Python can do without.

Every child speaks once while the receiver is stopped, so that the datagrams wait in its socket; then it
goes on, and its processor time until it rests is divided by their number. Nothing else competes with it
for its core, and the load generator's speed does not count. They take turns, round by round.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sync_floor
from sync_crowd import Crowd, Datagram, HeadPeer, Peer

HERE = Path(__file__).parent
TARGET_RATIO = 0.5


def measure(say: Callable[[str], None], *, children: int = 8000, rounds: int = 9) -> dict[str, Any]:
    """Datagrams a second and their ratio to the C loop's, for heartbeats and for reports."""
    with tempfile.TemporaryDirectory() as folder:
        head = HeadPeer(Path(folder), 3600.0)  # its own timers stay out of the way
        crowd = Crowd(children, head.port)
        try:
            head.ask("admit", "n", children, 300)
            say(f"{children} children join")
            for child in crowd.children:
                child.discover({f"v{n}": b"x" * 20 for n in range(8)})
            joined = crowd.run(lambda: all(child.in_step for child in crowd.children), 120.0)
            if not joined:
                raise SystemExit("the children do not come to rest")
            crowd.run(lambda: False, 0.5)
            return {
                what: _compare(what, turn, head, crowd, Path(folder), rounds, say)
                for what, turn in (("heartbeats", _beats), ("reports", _reports))
            }
        finally:
            crowd.close()
            head.end()


def _beats(crowd: Crowd, _turn: int) -> list[Datagram]:
    """A heartbeat of every child."""
    now = time.monotonic()
    for child in crowd.children:
        child._beat.at = now
    return [each for number in range(len(crowd.children)) for each in crowd.wanted(number, now)]


def _reports(crowd: Crowd, turn: int) -> list[Datagram]:
    """Every child reports a value that has changed."""
    now = time.monotonic()
    for child in crowd.children:
        child._beat.at = now + 3600.0
        child.set_discovered("v3", b"%019d" % turn)
    return [each for number in range(len(crowd.children)) for each in crowd.wanted(number, now)]


def _compare(
    what: str,
    turn: Callable[[Crowd, int], list[Datagram]],
    head: HeadPeer,
    crowd: Crowd,
    folder: Path,
    rounds: int,
    say: Callable[[str], None],
) -> dict[str, Any]:
    ours: list[float] = []
    beside: dict[str, Peer] = {}
    others: dict[str, list[float]] = {}
    size = answer = 0
    try:
        for number in range(-2, rounds):
            batch = turn(crowd, number + 2)
            size = sum(len(each.datagram) for each in batch) // len(batch)
            head.stop()
            crowd.send(batch)
            spent = _spent(head, len(batch))
            count, size_bytes = _answers(crowd)
            if count != len(batch):
                raise SystemExit(f"{len(batch)} {what} were sent, {count} answers came")
            answer = size_bytes // count
            beside = beside or _beside(folder, len(batch), answer)
            theirs = {name: _echoed(peer, crowd, batch) for name, peer in beside.items()}
            if number < 0:  # the first have everything to set up
                continue
            ours.append(spent)
            for name, their in theirs.items():
                others.setdefault(name, []).append(their)
            rest = ", ".join(f"{name} {spent[-1]:.2f}" for name, spent in others.items())
            say(f"{what}: {ours[-1]:.2f} us; {rest}")
    finally:
        for peer in beside.values():
            peer.end()
    bare = others["c_loop"]
    ratios = [c / python for c, python in zip(bare, ours, strict=True)]
    return {
        "datagram_bytes": size,
        "answer_bytes": answer,
        "per_second": round(1e6 / statistics.median(ours)),
        "c_loop_per_second": round(1e6 / statistics.median(bare)),
        "us": round(statistics.median(ours), 2),
        **{f"{name}_us": round(statistics.median(spent), 2) for name, spent in others.items()},
        "ratio": round(statistics.median(ratios), 3),
        "ratio_spread": [round(min(ratios), 3), round(max(ratios), 3)],
        "target_ratio": TARGET_RATIO,
        "met": statistics.median(ratios) >= TARGET_RATIO,
    }


def _echoed(peer: Peer, crowd: Crowd, batch: list[Datagram]) -> float:
    """What one of those beside the parent spends on the same datagrams."""
    crowd.parent, before = ("127.0.0.1", peer.port), crowd.parent
    peer.stop()
    crowd.send(batch)
    spent = _spent(peer, len(batch))
    crowd.parent = before
    count, _ = crowd.drain()
    if count != len(batch):
        raise SystemExit(f"{len(batch)} datagrams were sent, {count} came back")
    return spent


def _spent(peer: Peer, count: int) -> float:
    """Microseconds of its processor for each of the datagrams that wait in its socket."""
    before = peer.cpu_ns()
    peer.go_on()
    return (peer.until_idle() - before) / count / 1000


def _answers(crowd: Crowd) -> tuple[int, int]:
    """Give the answers to the children; says how many and how many bytes."""
    count = size = 0
    for sock, child in zip(crowd.sockets, crowd.children, strict=True):
        while True:
            try:
                datagram, address = sock.recvfrom(2048)
            except BlockingIOError:
                break
            count += 1
            size += len(datagram)
            child.receive_datagram(datagram, address, time.monotonic())
    return count, size


def _beside(folder: Path, children: int, answer_bytes: int) -> dict[str, Peer]:
    """The C loop, and what no parent in Python can do without (`sync_floor`)."""
    floor = str(HERE / "sync_floor.py")
    return {
        "c_loop": start_echo(folder, answer_bytes),
        **{
            f"floor_{what}": _started([sys.executable, floor, what, children, answer_bytes])
            for what in sync_floor.WHATS
        },
    }


def start_echo(folder: Path, answer_bytes: int) -> Peer:
    """The C loop, compiled into the folder."""
    program = folder / "sync_echo"
    if not program.exists():
        subprocess.run(["cc", "-O2", "-o", program, HERE / "sync_echo.c"], check=True)
    return _started([program, answer_bytes])


def _started(command: list[object]) -> Peer:
    process = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return Peer(process, int(process.stdout.readline()))


if __name__ == "__main__":
    import json

    print(json.dumps(measure(lambda text: print(text, file=sys.stderr)), indent=1))
