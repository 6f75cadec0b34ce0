"""The verbs where there is no lab, no root, or no sense in what was typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from kedge.cli.main import run
from kedge.lab import lab, requirements
from kedge.lab.paths import write_private

Typed = Callable[..., tuple[int, str]]


@pytest.fixture(autouse=True)
def no_labs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(lab, "RUN_ROOT", tmp_path)
    return tmp_path


def write(
    tmp_path: Path, text: str = "name: x\nmachines: { n1: { mac: 52:54:00:77:00:01 } }"
) -> str:
    write_private(tmp_path / "lab.yaml", text)
    return str(tmp_path / "lab.yaml")


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str]) -> Typed:
    """``kedge lab`` as it is typed: its exit status, and what it said."""

    def typed(*words: str) -> tuple[int, str]:
        code = run(["lab", *words])
        said = capsys.readouterr()
        return code, said.out + said.err

    return typed


@pytest.mark.parametrize(
    "words", [["status"], ["console", "n1"], ["exec", "true"], ["fault", "n1", "kill"]]
)
def test_without_a_lab_each_verb_says_how_to_get_one(typed: Typed, words: list[str]) -> None:
    code, said = typed(*words)
    assert code == 1
    assert "no lab is up" in said
    assert "kedge lab up" in said


def test_down_without_a_lab_is_no_failure(typed: Typed) -> None:
    assert typed("down")[0] == 0


@pytest.mark.parametrize(
    "words",
    [["fault", "n1"], ["fault", "n1", "explode"], ["console"], ["exec"], ["status", "-o", "xml"]],
)
def test_wrong_usage_ends_with_2(typed: Typed, words: list[str]) -> None:
    assert typed(*words)[0] == 2


def test_a_bad_file_is_told_before_anything_starts(typed: Typed, tmp_path: Path) -> None:
    code, said = typed("up", write(tmp_path, "name: x\nmachine: {}\n"))
    assert code == 1
    assert "lab.yaml:2: unknown key machine" in said and "Did you mean machines?" in said


def test_who_is_not_root_is_told_so(
    typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requirements.os, "geteuid", lambda: 1000)
    code, said = typed("up", write(tmp_path), "-o", "json")
    assert code == 1
    assert json.loads(said)["error"]["code"] == "lab.not_root"


def test_everything_missing_is_named_at_once(
    typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requirements.os, "geteuid", lambda: 0)
    monkeypatch.setattr(requirements, "TUN", tmp_path / "tun")
    monkeypatch.setattr(requirements.qemu.shutil, "which", lambda *_, **__: None)
    code, said = typed("up", write(tmp_path))
    assert code == 1
    for remedy in ("modprobe tun", "qemu-system-x86", "docker-registry", "apache2-utils"):
        assert remedy in said
