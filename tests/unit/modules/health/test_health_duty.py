"""The health duty as it runs on a node: its file, called with what the agent would give it."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kedge.core.duty import Duty
from kedge.core.kinds import ValueProblem
from kedge.modules.health import module
from kedge.modules.health.checks import CHECKS, SCRIPTS

Observe = Any


@pytest.fixture
def observe(tmp_path: Path) -> Any:
    (duty,) = module.duties
    names: dict[str, Any] = {}
    exec(compile(duty.source, "duty", "exec"), names)

    def run(*command: str, timeout_s: float = 30.0) -> tuple[int, str]:
        try:
            done = subprocess.run(command, capture_output=True, timeout=timeout_s, check=False)
        except subprocess.TimeoutExpired:
            raise TimeoutError("x") from None
        return done.returncode, (done.stdout + done.stderr).decode()

    def call(ready: Any = None, scripts: Any = None) -> Any:
        configured = {"health.checks": CHECKS.check(ready or {})}
        configured["health.scripts"] = SCRIPTS.check(scripts or [])
        here = SimpleNamespace(
            node="n1", root=Path("/"), folder=tmp_path, run=run, configured=configured
        )
        return names["observe"](here)

    call.names = names  # type: ignore[attr-defined]
    return call


def failed(answer: Any) -> dict[str, str]:
    return {check["check"]: check["why"] for check in answer["health.failed"]}


def test_it_fits_what_duties_may_be() -> None:
    (duty,) = module.duties
    assert isinstance(duty, Duty) and list(duty.problems()) == []


def test_no_checks_are_a_pass(observe: Observe) -> None:
    assert observe() == {
        "health.verdict": "pass", "health.standing": "clear", "health.failed": [],
    }  # fmt: skip


def test_ready_checks_on_this_machine(observe: Observe) -> None:
    good = {
        "memory": {"least_mib": 1}, "mounts": {"paths": ["/proc"]}, "gpus": {"count": 0},
        "network": {"interfaces": ["lo"]}, "disks": {"paths": ["/tmp"], "free_percent": 0},
    }  # fmt: skip
    assert observe(good)["health.verdict"] == "pass"
    bad = {
        "memory": {"least_mib": 1 << 40}, "mounts": {"paths": ["/no/such"]}, "gpus": {"count": 64},
        "network": {"interfaces": ["no0"]}, "disks": {"paths": ["/no/such"]},
        "kernel": {"enabled": False},
    }  # fmt: skip
    answer = observe(bad)
    assert answer["health.verdict"] == "fail" and answer["health.standing"] == "failed"
    told = failed(answer)
    assert "MiB are there" in told["memory"] and told["mounts"] == "nothing is mounted at /no/such"
    assert "64 are wanted" in told["gpus"] and told["network"] == "there is no interface no0"
    assert told["disks"].startswith("FileNotFoundError") and set(told) == set(bad) - {"kernel"}


def test_scripts_deadlines_and_crashes(observe: Observe) -> None:
    scripts = [
        {"name": "good", "run": "true"},
        {"name": "bad", "run": "echo scratch is slow >&2; exit 3", "back": "by_hand"},
        {"name": "mute", "run": "exit 4"},
        {"name": "hangs", "run": "sleep 60", "timeout_s": 1},
    ]
    begun = time.monotonic()
    answer = observe(scripts=scripts)
    assert time.monotonic() - begun < 10
    told = failed(answer)
    assert told == {
        "bad": "scratch is slow", "mute": "exit status 4", "hangs": "did not end within 1 s",
    }  # fmt: skip
    assert [c["back"] for c in answer["health.failed"] if c["check"] == "bad"] == ["by_hand"]


def test_a_check_that_hangs_in_python_is_ended(observe: Observe, tmp_path: Path) -> None:
    observe.names["CHECKS"]["memory"] = lambda here, check: time.sleep(60)
    begun = time.monotonic()
    assert failed(observe({"memory": {"timeout_s": 1}})) == {"memory": "did not end within 1 s"}
    assert time.monotonic() - begun < 5


def test_what_passed_waits_for_its_time_and_what_failed_is_tried_again(
    observe: Observe, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    flag = tmp_path / "flag"
    scripts = [
        {"name": "often", "run": f"mktemp -p {marks}", "every_s": 3600},
        {"name": "flag", "run": f"test -e {flag}", "every_s": 3600},
    ]
    assert list(failed(observe(scripts=scripts))) == ["flag"]
    flag.touch()
    assert observe(scripts=scripts)["health.verdict"] == "pass"
    assert len(list(marks.iterdir())) == 1
    scripts[0]["every_s"] = 3601  # configured otherwise: run at once
    observe(scripts=scripts)
    assert len(list(marks.iterdir())) == 2
    assert set(json.loads((tmp_path / "results.json").read_text())) == {"often", "flag"}


def test_what_a_site_may_not_write() -> None:
    for wrong in ({"disk": {}}, {"disks": {"free": 3}}, {"memory": {"back": "later"}}):
        with pytest.raises(ValueProblem):
            CHECKS.check(wrong)
    with pytest.raises(ValueProblem):
        SCRIPTS.check([{"name": "x"}])
