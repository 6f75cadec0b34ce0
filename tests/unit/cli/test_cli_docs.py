"""The pages made from code are fresh, and the unit names commands and files that exist."""

from __future__ import annotations

import configparser
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_reference_is_fresh() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "cli-reference"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_every_capability_of_the_unit_is_justified() -> None:
    text = (ROOT / "src" / "kedge" / "cli" / "kedge.service").read_text()
    granted = {
        word
        for line in text.splitlines()
        if line.startswith("CapabilityBoundingSet=")
        for word in line.partition("=")[2].split()
    }
    comments = " ".join(line for line in text.splitlines() if line.startswith("#"))
    assert granted and all(name in comments for name in granted)
    assert "CAP_SYS_ADMIN" not in granted
    unit = configparser.ConfigParser(strict=False)
    unit.read_string(text)
    assert unit["Service"]["Type"] == "notify"
    assert unit["Service"]["ExecStart"].endswith("kedge serve")
