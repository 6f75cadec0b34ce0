"""How many children one parent bears: all at once, day in day out, and as sub-masters.

The parent is the production link, socket loop and database in a process of its own; the children are
production children on real sockets in this one. What the engine would do with the events is left out.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sync_crowd import Crowd, HeadPeer

Say = Callable[[str], None]


@contextmanager
def _world(
    count: int, heartbeat_s: float, configured_bytes: int, prefix: str = "n"
) -> Iterator[tuple[HeadPeer, Crowd]]:
    with tempfile.TemporaryDirectory() as folder:
        head = HeadPeer(Path(folder), heartbeat_s)
        crowd = Crowd(count, head.port, prefix)
        try:
            head.ask("admit", prefix, count, configured_bytes)
            yield head, crowd
        finally:
            crowd.close()
            head.end()


def burst(say: Say, *, count: int = 5000) -> dict[str, Any]:
    """All say hello in the same instant; until the parent has confirmed and stored the last key."""
    with _world(count, 10.0, 300) as (head, crowd):
        now = time.monotonic()
        for child in crowd.children:
            child.discover({f"v{n}": b"x" * 20 for n in range(8)})
        hellos = [each for number in range(count) for each in crowd.wanted(number, now)]
        say(f"{count} hellos at once")
        before, began = head.cpu_ns(), time.time()
        crowd.send(hellos)
        spoken_s = time.time() - began
        crowd.run(lambda: all(child.in_step for child in crowd.children), 60.0)
        after = head.cpu_ns()
        counts = head.ask("counts")
        joined_s = counts["last_at"] - began
        result = {
            "children": count,
            "hellos_sent_in_s": round(spoken_s, 2),
            "joined": counts.get("Joined", 0),
            "in_step": sum(child.in_step for child in crowd.children),
            "last_joined_reported_and_configured_s": round(joined_s, 2),
            "datagrams_lost_at_the_socket": head.drops(),
            "lost_afterwards": counts.get("Lost", 0) + crowd.lost,
            "hellos_repeated": crowd.hellos - count,
            "parent_cpu_s": round((after - before) / 1e9, 2),
            "target_s": 5.0,
        }
        whole = result["joined"] == result["in_step"] == count
        clean = not (result["datagrams_lost_at_the_socket"] or result["lost_afterwards"])
        return {**result, "met": whole and clean and joined_s <= 5.0}


def heartbeats(say: Say, *, count: int = 10_000, measured_s: float = 40.0) -> dict[str, Any]:
    """All at the default heartbeat, for longer than it takes to declare one dead."""
    with _world(count, 10.0, 300) as (head, crowd):
        for child in crowd.children:
            child.discover({f"v{n}": b"x" * 20 for n in range(8)})
        say(f"{count} children join")
        if not crowd.run(lambda: all(child.in_step for child in crowd.children), 120.0):
            raise SystemExit("the children do not come to rest")
        crowd.run(lambda: False, 11.0)
        say(f"heartbeats for {measured_s:.0f} s")
        lost = head.ask("counts").get("Lost", 0) + crowd.lost
        before, began, sent = head.cpu_ns(), time.monotonic(), crowd.sent
        crowd.run(lambda: False, measured_s)
        took_s = time.monotonic() - began
        share = (head.cpu_ns() - before) / 1e9 / took_s
        counts = head.ask("counts")
        dead = counts.get("Lost", 0) + crowd.lost - lost
        return {
            "children": count,
            "heartbeats_per_s": round((crowd.sent - sent) / took_s),
            "parent_cores": round(share, 4),
            "parent_memory_mb": counts["peak_mb"],
            "declared_dead": dead,
            "datagrams_lost_at_the_socket": head.drops(),
            "target_cores": 0.5,
            "met": share < 0.5 and dead == 0,
        }


def sub_masters(
    say: Say, *, count: int = 200, nodes_each: int = 500, measured_s: float = 30.0
) -> dict[str, Any]:
    """Sub-masters whose records have an entry for each of their nodes, in steady state and with changes."""
    rng = random.Random(5)
    with _world(count, 10.0, 300, "sm") as (head, crowd):
        for number, child in enumerate(crowd.children):
            child.discover({f"n{number}-{n}": rng.randbytes(400) for n in range(nodes_each)})
        say(f"{count} sub-masters with {nodes_each} nodes each join")
        began, before = time.monotonic(), head.cpu_ns()
        if not crowd.run(lambda: all(child.in_step for child in crowd.children), 120.0):
            raise SystemExit("the sub-masters do not come to rest")
        first_s, first_cpu_s = time.monotonic() - began, (head.cpu_ns() - before) / 1e9
        crowd.run(lambda: False, 11.0)
        say(f"steady state for {measured_s:.0f} s")
        quiet = _share(head, crowd, measured_s)
        say(f"ten changes a second for {measured_s / 2:.0f} s")
        end = time.monotonic() + measured_s / 2
        busy_before, busy_began = head.cpu_ns(), time.monotonic()
        while time.monotonic() < end:
            number, node = rng.randrange(count), rng.randrange(nodes_each)
            crowd.children[number].set_discovered(f"n{number}-{node}", rng.randbytes(400))
            crowd.wake(number)
            crowd.run(lambda: False, 0.1)
        busy = (head.cpu_ns() - busy_before) / 1e9 / (time.monotonic() - busy_began)
        counts = head.ask("counts")
        return {
            "sub_masters": count,
            "nodes": count * nodes_each,
            "all_reported_s": round(first_s, 2),
            "master_cpu_s_until_then": round(first_cpu_s, 2),
            "master_cores_steady": round(quiet, 5),
            "master_cores_at_10_changes_per_s": round(busy, 5),
            "master_memory_mb": counts["peak_mb"],
            "declared_dead": counts.get("Lost", 0),
            "target_cores": 0.02,
            "met": quiet < 0.02 and not counts.get("Lost", 0),
        }


def _share(head: HeadPeer, crowd: Crowd, measured_s: float) -> float:
    before, began = head.cpu_ns(), time.monotonic()
    crowd.run(lambda: False, measured_s)
    return (head.cpu_ns() - before) / 1e9 / (time.monotonic() - began)
