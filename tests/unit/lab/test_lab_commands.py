"""The verbs where there is no lab, no root, or no sense in what was typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from kedge.cli.lab import group
from kedge.lab import lab, requirements
from kedge.lab.paths import write_private


@pytest.fixture(autouse=True)
def no_labs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(lab, "RUN_ROOT", tmp_path)
    return tmp_path


def write(
    tmp_path: Path, text: str = "name: x\nmachines: { n1: { mac: 52:54:00:77:00:01 } }"
) -> str:
    write_private(tmp_path / "lab.yaml", text)
    return str(tmp_path / "lab.yaml")


@pytest.mark.parametrize(
    "words", [["status"], ["console", "n1"], ["exec", "true"], ["fault", "n1", "kill"]]
)
def test_without_a_lab_each_verb_says_how_to_get_one(words: list[str]) -> None:
    result = CliRunner().invoke(group, words)
    assert result.exit_code == 1
    assert "no lab is up" in result.output
    assert "kedge lab up" in result.output


def test_down_without_a_lab_is_no_failure() -> None:
    assert CliRunner().invoke(group, ["down"]).exit_code == 0


@pytest.mark.parametrize(
    "words",
    [["fault", "n1"], ["fault", "n1", "explode"], ["console"], ["exec"], ["status", "-o", "xml"]],
)
def test_wrong_usage_ends_with_2(words: list[str]) -> None:
    assert CliRunner().invoke(group, words).exit_code == 2


def test_a_bad_file_is_told_before_anything_starts(tmp_path: Path) -> None:
    result = CliRunner().invoke(group, ["up", write(tmp_path, "name: x\nmachine: {}\n")])
    assert result.exit_code == 1
    assert "lab.yaml:2: unknown key machine. Did you mean machines?" in result.output


def test_who_is_not_root_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements.os, "geteuid", lambda: 1000)
    result = CliRunner().invoke(group, ["up", write(tmp_path), "-o", "json"])
    assert result.exit_code == 1
    assert json.loads(result.output)["error"]["code"] == "lab.not_root"


def test_everything_missing_is_named_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requirements.os, "geteuid", lambda: 0)
    monkeypatch.setattr(requirements, "TUN", tmp_path / "tun")
    monkeypatch.setattr(requirements.qemu.shutil, "which", lambda *_, **__: None)
    result = CliRunner().invoke(group, ["up", write(tmp_path)])
    assert result.exit_code == 1
    for remedy in ("modprobe tun", "qemu-system-x86", "docker-registry", "apache2-utils"):
        assert remedy in result.output
