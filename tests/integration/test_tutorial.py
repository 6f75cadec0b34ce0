"""The first tutorial: its ``console`` blocks are run as they are written, and print what they show.

A line of ``...`` stands for any lines, ``...`` within a line for anything; blanks and durations may differ.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).resolve().parents[2] / "docs" / "tutorial" / "first-cluster.md"
MARK = "@@ end of command"
LIMIT_S = 150.0


@dataclass
class Command:
    """What a reader types, and what the page shows beneath it."""

    text: str
    shown: list[str] = field(default_factory=list)

    @property
    def ends_with_0(self) -> bool:
        """Whether the page does not go on to look at the exit status."""
        return "kedge: " not in "\n".join(self.shown)


def commands_of(page: str) -> list[Command]:
    found: list[Command] = []
    for block in re.findall(r"^```console\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(Command(line[2:]))
            elif line.startswith("> "):
                found[-1].text += f"\n{line[2:]}"
            else:
                found[-1].shown.append(line)
    return found


def script_of(commands: list[Command]) -> str:
    """All commands in one shell, each followed by its exit status, which the next one still sees."""
    lines = ["trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT"]
    for command in commands:
        lines += [command.text, 'status=$?; echo; echo "' + MARK + ' $status"; (exit $status)']
    return "\n".join(lines) + "\n"


def pattern_of(shown: list[str]) -> re.Pattern[str]:
    parts: list[str] = []
    for line in shown:
        if line == "...":
            parts.append(r"(?:.*\n)*?")
        else:
            pieces = re.split(r" *\.\.\. *", plain(line.rstrip()))
            parts.append(".*".join(map(re.escape, pieces)) + r"\n")
    return re.compile("".join(parts))


def plain(text: str) -> str:
    return re.sub(r"\b\d+ ?(s|min)\b", "T", re.sub(r" +", " ", text))


def said(output: str) -> str:
    return "".join(f"{plain(line).rstrip()}\n" for line in output.splitlines() if line.strip())


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("LANG", "TZ") if name in os.environ}
    programs = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    return {**kept, "HOME": str(tmp_path), "PATH": programs}


def free_udp_port() -> int:
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_the_tutorial_runs_and_shows_what_it_says(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    commands = commands_of(TUTORIAL.read_text())
    assert len(commands) > 20
    for command in commands:
        if command.text == "kedge init .":  # other tests may run beside this one
            sync = f"{{port: {free_udp_port()}, address: 127.0.0.1}}"
            command.text += f" && sed -i 's/^sync:$/sync: {sync}/' kedge.yaml"
    ran = subprocess.run(
        ["bash"], input=script_of(commands), cwd=tmp_path, env=environment, timeout=LIMIT_S,
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    answers = re.split(rf"\n{MARK} (\d+)\n", ran.stdout)
    outputs, statuses = answers[0:-1:2], answers[1::2]
    assert len(outputs) == len(commands), ran.stdout
    for command, output, status in zip(commands, outputs, statuses, strict=True):
        told = f"$ {command.text}\n{output}\nexit status {status}"
        assert (status == "0") == command.ends_with_0, told
        if command.shown:
            assert pattern_of(command.shown).fullmatch(said(output)), told


def test_a_shown_line_that_is_not_printed_is_noticed() -> None:
    assert pattern_of(["...", "a 3s b"]).fullmatch(said("first\na   12s   b  \n"))
    assert pattern_of(["about 3 s, head"]).fullmatch(said("about 55 s, head\n"))
    assert not pattern_of(["...", "a 3s b"]).fullmatch(said("first\na 12s c\n"))
    assert not pattern_of(["a"]).fullmatch(said("a\nb\n"))
    assert script_of([Command("false")]).count(MARK) == 1
