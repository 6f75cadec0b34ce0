"""What the agent takes from a running node: processor time, memory, and how long it is in the way.

The real agent's loop in a process of its own, on loopback, with a production parent at the default
heartbeat. Its processor time is the kernel's own count in nanoseconds (schedstat); an interruption is
what it uses within 20 ms, looked at every 5 ms.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sync_crowd import HeadPeer, Peer
from sync_head import token
from sync_receive import start_echo

HEARTBEAT_S = 10.0


FLOOR = """
import select, socket, sys, time
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.connect(("127.0.0.1", int(sys.argv[1])))
key, header, plain, poll = AESGCM(bytes(32)), bytes(16), bytes(32), select.epoll()
poll.register(sock, select.EPOLLIN)
for number in range(1 << 30):
    at = time.monotonic() + float(sys.argv[2])
    sock.send(header + key.encrypt(number.to_bytes(12, "big"), plain, header))
    poll.poll()
    key.encrypt(number.to_bytes(12, "big"), sock.recv(2048), header)
    while (wait_s := at - time.monotonic()) > 0:
        poll.poll(wait_s)
"""


def measure(say: Callable[[str], None], *, minutes: float = 2.0) -> dict[str, Any]:
    """One agent with the stand-in for protobuf, as layer0 has it, one with the library; and, as the least
    that Python can do it with, a loop that seals, sends, receives and seals once more.
    """
    with tempfile.TemporaryDirectory() as folder:
        head = HeadPeer(Path(folder), HEARTBEAT_S)
        agents: dict[str, Peer] = {}
        try:
            head.ask("admit", "n", 2, 300)
            for number, messages in enumerate(("stand-in", "library")):
                agents[messages] = _start(Path(folder) / messages, head.port, number, messages)
            echo = start_echo(Path(folder), 62)
            agents["echo"] = echo
            floor = [sys.executable, "-c", FLOOR, str(echo.port), str(HEARTBEAT_S)]
            agents["bare_loop"] = Peer(subprocess.Popen(floor, text=True), 0)
            time.sleep(3.0)
            if head.ask("counts").get("Joined") != 2:
                raise SystemExit("the agents did not join")
            say(f"two agents for {minutes:.0f} minutes")
            del agents["echo"]
            try:
                measured = _watch(agents, minutes)
            finally:
                agents["echo"] = echo
            least = measured["bare_loop"]["cpu_ms_a_minute"]
            return {
                **measured,
                "times_the_bare_loop": round(
                    measured["stand-in"]["cpu_ms_a_minute"] / max(least, 0.01), 2
                ),
                "heartbeat_s": HEARTBEAT_S,
                "target_cpu_ms_a_minute": 2.0,
                "target_memory_mb": 30.0,
                "met": measured["stand-in"]["cpu_ms_a_minute"] < 2.0
                and measured["stand-in"]["memory_mb"] < 30.0,
            }
        finally:
            for agent in agents.values():
                agent.process.kill()
                agent.process.wait()
            head.end()


def _start(folder: Path, port: int, number: int, messages: str) -> Peer:
    folder.mkdir()
    (folder / "token").write_bytes(token(f"n{number}"))
    command = [sys.executable, "-B", str(Path(__file__).with_name("sync_agent_node.py"))]
    process = subprocess.Popen(
        [*command, str(folder), str(port), f"n{number}", messages],
        stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    return Peer(process, 0)


def _watch(agents: dict[str, Peer], minutes: float) -> dict[str, Any]:
    first = {name: agent.cpu_ns() for name, agent in agents.items()}
    switches = {name: _status(agent, "voluntary_ctxt_switches") for name, agent in agents.items()}
    longest = dict.fromkeys(agents, 0)
    recent = {name: [first[name]] * 4 for name in agents}
    end = time.monotonic() + minutes * 60.0
    while time.monotonic() < end:
        time.sleep(0.005)
        for name, agent in agents.items():
            now = agent.cpu_ns()
            longest[name] = max(longest[name], now - recent[name][0])
            recent[name] = [*recent[name][1:], now]
    return {
        name: {
            "cpu_ms_a_minute": round((agent.cpu_ns() - first[name]) / 1e6 / minutes, 2),
            "longest_interruption_ms": round(longest[name] / 1e6, 3),
            "wakes_a_minute": round(
                (_status(agent, "voluntary_ctxt_switches") - switches[name]) / minutes, 1
            ),
            "memory_mb": round(_status(agent, "VmRSS") / 1024, 1),
        }
        for name, agent in agents.items()
    }


def _status(agent: Peer, field: str) -> int:
    for row in Path(f"/proc/{agent.process.pid}/status").read_text().splitlines():
        if row.startswith(field):
            return int(row.split()[1])
    raise SystemExit(f"the agent has no {field}")


if __name__ == "__main__":
    import json

    print(json.dumps(measure(lambda text: print(text, file=sys.stderr), minutes=1.0)))
