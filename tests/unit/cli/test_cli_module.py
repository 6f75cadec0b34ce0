"""What people see of modules."""

from __future__ import annotations

from typing import Any

import pytest

from kedge.cli.main import run


def seen(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert run(list(words)) == 0
    return capsys.readouterr().out


def test_modules_are_listed_with_what_they_add_and_what_is_wrong(
    served: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    told = seen(capsys, "module", "list")
    for words in ("lamp", "kedge 0.1.0", "1 variable, 2 duties, 1 service", "ZeroDivisionError"):
        assert words in told
    assert '"degraded": ""' in seen(capsys, "module", "list", "-o", "json")
    assert "## power" in seen(capsys, "module", "show", "power")
    assert run(["module", "show", "lamb"]) == 1
    assert "Known: lamp, power" in capsys.readouterr().err


def test_a_reload_says_what_is_otherwise_or_why_it_was_refused(
    served: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "added: lamp; changed: power" in seen(capsys, "module", "reload", "power")
    assert run(["module", "reload", "bad"]) == 1
    assert "modules a, b: variable x is declared twice" in capsys.readouterr().err
