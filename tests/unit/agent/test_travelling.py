"""Duties that travel: the whole agent against a real parent and a real HTTP server, with files of ours."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from layer0_head import Blobs, Head

from kedge.agent.agent import Agent
from kedge.agent.travelling import REPORT_MAX_BYTES, checked, parse

GOOD = """
import pathlib

def observe(here):
    kept = here.folder / "governor"
    return {"tune.governor": kept.read_text() if kept.exists() else "none",
            "tune.wanted": here.configured.get("tune.wanted", "")}

def carry_out(here, mutation, args):
    here.tell("tuning", 0.5)
    (here.folder / "governor").write_text(args.get("governor", "fast"))
"""


def entry(head_folder: Path, source: str, **changes: Any) -> dict[str, Any]:
    """A duty's entry; its file is put among the blobs."""
    content = source.encode()
    name = hashlib.sha256(content).hexdigest()
    (head_folder / name).write_bytes(content)
    told = {
        "digest": f"sha256:{name}", "size_bytes": len(content), "every_s": 0, "timeout_s": 20,
        "stages": ["layer0"], "reports": ["tune.governor", "tune.wanted"],
        "orders": ["tune.set"], "configured": {},
    }  # fmt: skip
    return told | changes


class Agents:
    """Starts agents, each in a process of its own."""

    def __init__(self, place_at: Any, url: str) -> None:
        self._place_at, self._url = place_at, url
        self._pids: list[int] = []

    def __call__(self, stage: str = "layer0") -> None:
        place = self._place_at(stage, url=self._url)
        pid = os.fork()
        if pid == 0:
            code = 99
            try:
                code = Agent(place, lambda text: None).run()
            finally:
                os._exit(code)
        self._pids.append(pid)

    def stop(self) -> None:
        for pid in self._pids:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
        self._pids.clear()


@pytest.fixture
def agent(place_at: Any, blobs: Blobs) -> Iterator[Agents]:
    agents = Agents(place_at, f"http://127.0.0.1:{blobs.port}")
    yield agents
    agents.stop()


def test_it_fetches_runs_and_reports_a_duty(agent: Any, head: Head, blobs: Blobs) -> None:
    duty = entry(blobs.directory, GOOD, configured={"tune.wanted": "fast"})
    head.configure({"duty/tune.look": duty})
    agent()
    head.wait(lambda: head.discovered("duty/tune.look") is not None, 20)
    assert head.discovered("duty/tune.look") == {
        "values": {"tune.governor": "none", "tune.wanted": "fast"}
    }


def test_an_order_is_carried_out_and_its_effect_is_reported_at_once(
    agent: Any, head: Head, blobs: Blobs
) -> None:
    duty = entry(blobs.directory, GOOD)
    order = {"id": "1", "args": {"governor": "slow"}}
    agent()
    head.configure({"duty/tune.look": duty, "order/tune.set": order})
    head.wait(lambda: (head.discovered("order/tune.set") or {}).get("status") == "done", 20)
    values = lambda: (head.discovered("duty/tune.look") or {}).get("values", {})  # noqa: E731
    head.wait(lambda: values().get("tune.governor") == "slow", 20)
    # every_s is 0: without the look after the order it would have said "none" for ever


def test_a_changed_configuration_is_looked_at_at_once_and_the_file_is_fetched_once(
    agent: Any, head: Head, blobs: Blobs
) -> None:
    agent()
    for wanted in ("one", "two"):
        duty = entry(blobs.directory, GOOD, configured={"tune.wanted": wanted})
        head.configure({"duty/tune.look": duty})
        values = lambda: (head.discovered("duty/tune.look") or {}).get("values", {})  # noqa: E731
        head.wait(lambda w=wanted, v=values: v().get("tune.wanted") == w, 20)
    assert len(blobs.requests) == 1


def test_an_agent_that_was_started_again_runs_the_duties_that_it_knows(
    agent: Any, head: Head, blobs: Blobs
) -> None:
    source = "import os\ndef observe(here):\n    return {'tune.governor': os.getppid()}\n"
    head.configure({"duty/tune.look": entry(blobs.directory, source)})
    seen: list[Any] = []
    for _ in range(2):
        agent.stop()
        agent()
        told = lambda: head.discovered("duty/tune.look")  # noqa: E731
        head.wait(lambda t=told: t() is not None and t() not in seen, 20)
        seen.append(told())


def test_a_file_with_another_digest_is_never_run(
    agent: Any, head: Head, blobs: Blobs, tmp_path: Path
) -> None:
    mark = tmp_path / "was run"
    source = f"open({str(mark)!r}, 'w').close()\ndef observe(here):\n    return {{}}\n"
    duty = entry(blobs.directory, source)
    blobs.corrupt.add(duty["digest"])
    head.configure({"duty/tune.look": duty})
    agent()
    head.wait(lambda: head.discovered("duty/tune.look") is not None, 20)
    assert head.discovered("duty/tune.look")["error"]["code"] == "duty.corrupt"
    assert not mark.exists()


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("raise RuntimeError('no sensors')", "no sensors"),
        ("import os; os._exit(3)", "ended early"),
        ("return 5", "observe returned no mapping"),
        ("return {'tune.governor': 'x' * 20000}", "reports too much"),
        ("return {'tune.governor': float('nan')}", "Out of range float"),
        ("return {'tune.governor': here}", "not JSON serializable"),
        ("import time; time.sleep(60)", "did not answer in time"),
        ("return {'tune.governor': here.run('/nonexistent')}", "No such file"),
        ("return {'tune.governor': here.run('sleep', '60', timeout_s=0.3)}", "did not end within"),
    ],
)
def test_what_goes_wrong_in_a_duty_is_its_report(
    agent: Any, head: Head, blobs: Blobs, body: str, what: str
) -> None:
    duty = entry(blobs.directory, f"def observe(here):\n    {body}\n", timeout_s=2)
    other = entry(blobs.directory, GOOD)
    head.configure({"duty/bad.look": duty, "duty/tune.look": other})
    agent()
    head.wait(lambda: head.discovered("duty/bad.look") is not None, 20)
    assert what in head.discovered("duty/bad.look")["error"]["what"]
    head.wait(lambda: "values" in (head.discovered("duty/tune.look") or {}), 20)


def test_what_a_duty_started_ends_with_it(
    agent: Any, head: Head, blobs: Blobs, tmp_path: Path
) -> None:
    pid_file = tmp_path / "pid"
    source = (
        "import subprocess, pathlib\n"
        "def observe(here):\n"
        f"    left = subprocess.Popen(['sleep', '60'])\n"
        f"    pathlib.Path({str(pid_file)!r}).write_text(str(left.pid))\n"
        "    return {}\n"
    )
    head.configure({"duty/tune.look": entry(blobs.directory, source)})
    agent()
    head.wait(lambda: head.discovered("duty/tune.look") == {"values": {}}, 20)
    until = time.monotonic() + 5
    while _runs(int(pid_file.read_text())):
        assert time.monotonic() < until, "its child outlived it"
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_program_of_the_image_is_run_and_its_output_is_bounded(
    agent: Any, head: Head, blobs: Blobs
) -> None:
    source = (
        "def observe(here):\n"
        "    code, text = here.run('sh', '-c', 'head -c 300000 /dev/zero; exit 3')\n"
        "    return {'tune.governor': [code, len(text)]}\n"
    )
    head.configure({"duty/tune.look": entry(blobs.directory, source)})
    agent()
    head.wait(lambda: head.discovered("duty/tune.look") is not None, 20)
    assert head.discovered("duty/tune.look") == {"values": {"tune.governor": [3, 65536]}}


def test_a_withdrawn_duty_takes_its_report_along_and_its_orders_are_unknown(
    agent: Any, head: Head, blobs: Blobs
) -> None:
    head.configure({"duty/tune.look": entry(blobs.directory, GOOD)})
    agent()
    head.wait(lambda: head.discovered("duty/tune.look") is not None, 20)
    head.configure({"order/tune.set": {"id": "9", "args": {}}})
    head.wait(lambda: head.discovered("duty/tune.look") is None, 20)
    head.wait(lambda: (head.discovered("order/tune.set") or {}).get("status") == "failed", 20)
    assert head.discovered("order/tune.set")["error"]["code"] == "agent.unknown_order"


def test_a_duty_keeps_to_its_stage(agent: Any, head: Head, blobs: Blobs) -> None:
    duty = entry(blobs.directory, GOOD, stages=["running"])
    head.configure({"duty/tune.look": duty, "order/tune.set": {"id": "1", "args": {}}})
    agent("layer0")
    head.wait(lambda: (head.discovered("order/tune.set") or {}).get("status") == "failed", 20)
    assert head.discovered("order/tune.set")["error"]["code"] == "agent.stage"
    assert head.discovered("duty/tune.look") is None


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b'{"digest": 1}', b"\xff", b"null"],
)
def test_an_entry_that_cannot_be_read_is_no_duty(content: bytes) -> None:
    assert parse("x.y", content) is None


def test_a_report_beyond_its_bounds_is_an_error() -> None:
    assert "error" in checked({"values": {"a": "x" * REPORT_MAX_BYTES}}, 0)
    assert checked({}, 3)["error"]["why"] == "exit code 3"
