"""The command line itself: help everywhere, usage errors, statuses without a master, quick starts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from kedge.cli.main import COMMANDS, cli, run


def paths(command: click.Command, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command and subcommand."""
    yield words
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from paths(found, (*words, name))


ALL = list(paths(cli))


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_help_works(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*words, "--help"]) == 0
    assert "Usage: kedge" in capsys.readouterr().out


def test_there_are_all_verbs() -> None:
    for verb in (
        "init", "serve", "apply", "diff", "status", "node list", "node show", "node set",
        "node unset", "node hold", "node release", "node retry", "plan", "graph", "events",
        "power on", "power off", "power cycle", "power status", "image list", "image import",
        "image show", "image prune", "layer0 build", "layer0 list", "secret set", "secret list", "strangers",
        "doctor", "completion", "lab up", "lab down", "lab status", "lab console", "version",
    ):  # fmt: skip
        assert tuple(verb.split()) in ALL


@pytest.mark.parametrize("name", COMMANDS)
def test_the_short_help_is_that_of_the_command(name: str) -> None:
    if name == "lab":  # its own file says more
        return
    command = cli.get_command(click.Context(cli), name)
    assert command is not None and command.help
    first = command.help.split("\n\n")[0].replace("\n", " ").rstrip(".")
    promised = COMMANDS[name][1].rstrip(".")
    assert promised.split()[0] == first.split()[0]


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["power", "on"],
        ["node", "set", "n1", "novalue"],
        ["node", "set", "n1", "a=1", "a=2"],
        ["status", "-o", "xml"],
        ["events", "--limit", "0"],
        ["secret", "set", "bmc", "password=hidden"],
        ["completion", "tcsh"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words) == 2
    told = capsys.readouterr()
    assert told.err and "hidden" not in told.err


def test_without_a_master_it_says_how_to_start_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "token").write_text("x" * 43)
    monkeypatch.setenv("KEDGE_API", str(tmp_path / "api.sock"))
    monkeypatch.setenv("KEDGE_TOKEN_FILE", str(tmp_path / "token"))
    assert run(["status"]) == 5
    assert "kedge serve" in capsys.readouterr().err
    assert run(["status", "-o", "json"]) == 5
    assert json.loads(capsys.readouterr().err)["error"]["code"] == "api.unreachable"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    assert "_KEDGE_COMPLETE" in capsys.readouterr().out


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from kedge.cli.main import run; run(['--help']);"
        "heavy = {'asyncio', 'aiohttp', 'rich', 'yaml', 'msgspec', 'ClusterShell', 'jinja2'};"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_reader_may_leave_early() -> None:
    pipe = f"{sys.executable} -m kedge.cli.main --help | true"
    done = subprocess.run(
        ["bash", "-c", pipe], capture_output=True, text=True, timeout=60, check=True
    )
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["statu"], "Did you mean status?"),
        (["-o", "json", "status"], "kedge status -o json"),
        (["status", "n1", "n2"], "n1,n2 or n[1-2]"),
        (["node", "set", "n1", "image.wanted="], "kedge node unset NODESET image.wanted"),
    ],
)
def test_what_others_type_is_answered_with_what_is_meant(
    capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    assert run(words) == 2
    assert told in capsys.readouterr().err


def test_a_configuration_that_is_named_and_not_there_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KEDGE_CONFIG", str(tmp_path / "typo.yaml"))
    monkeypatch.delenv("KEDGE_API", raising=False)
    assert run(["status"]) == 1
    err = capsys.readouterr().err
    assert "typo.yaml: there is no such configuration file" in err
