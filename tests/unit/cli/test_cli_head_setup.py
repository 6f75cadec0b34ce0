"""init, secret and folders: what is made, with which modes, and that nothing is overwritten."""

from __future__ import annotations

import io
import json
import stat
import sys
from pathlib import Path

import pytest
import yaml

from kedge.cli.folder import read_folder
from kedge.cli.main import run
from kedge.cli.templates import configuration, unit
from kedge.cli.values import parse_secret_lines, parse_value
from kedge.lib.errors import KedgeError
from kedge.master.process.secrets import Secrets
from kedge.master.process.settings import (
    API,
    EVENTS,
    SYNC,
    TOP,
    TREE,
    parse_settings,
    read_settings,
)
from kedge.master.serve import installed_modules
from kedge.modules.boot.place import BootSettings
from kedge.site.loading import load


@pytest.fixture
def head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A head made by ``kedge init``, with which the other commands work."""
    monkeypatch.setenv("KEDGE_CONFIG", str(tmp_path / "head" / "kedge.yaml"))
    monkeypatch.delenv("KEDGE_API", raising=False)
    monkeypatch.delenv("KEDGE_TOKEN_FILE", raising=False)
    assert run(["init", str(tmp_path / "head")]) == 0
    return tmp_path / "head"


def test_init_makes_all_and_overwrites_nothing(
    head: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    (head / "kedge.yaml").write_text("state_dir: /mine\n")
    token = (head / "state" / "api.token").read_text()
    (head / "site" / "site.yaml").unlink()
    assert run(["init", str(head), "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["made"] == [] and (head / "kedge.yaml").read_text() == "state_dir: /mine\n"
    assert (head / "state" / "api.token").read_text() == token
    assert not (head / "site" / "site.yaml").exists()  # the folder is the user's: macs.csv is there


def test_the_unit_runs_this_kedge_with_this_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kedge.cli.init.UNIT", tmp_path / "kedge.service")
    monkeypatch.setattr(sys, "argv", ["/opt/kedge/bin/kedge"])
    assert run(["init", str(tmp_path / "head"), "--systemd"]) == 0
    text = (tmp_path / "kedge.service").read_text()
    config = tmp_path / "head" / "kedge.yaml"
    assert f"ExecStart=/opt/kedge/bin/kedge --config {config} serve\n" in text


def test_the_unit_leaves_root_its_capabilities_and_the_agent_its_folder() -> None:
    """With User=root systemd 257 takes CAP_SETUID away; a runtime directory goes when the service ends."""
    written = unit(Path("/usr/bin/kedge"), Path("/etc/kedge/kedge.yaml")).splitlines()
    assert not [line for line in written if line.startswith("User=")]
    assert "RuntimeDirectory=kedge-serve" in written


def test_the_token_is_for_its_owner_only(head: Path) -> None:
    assert stat.S_IMODE((head / "state" / "api.token").stat().st_mode) == 0o600


def test_what_init_writes_is_valid(head: Path) -> None:
    settings = read_settings(head / "kedge.yaml")
    assert settings.state_dir == head / "state"
    variables = {v.name: v for module in installed_modules() for v in module.variables}
    site = load(read_folder(head / "site"), variables)
    assert site.cluster.name == "first"


def test_options_reach_the_configuration(tmp_path: Path) -> None:
    words = ["--interface", "prov", "--address", "10.9.0.1/24", "--state-dir", str(tmp_path / "s")]
    assert run(["init", str(tmp_path), *words]) == 0
    settings = read_settings(tmp_path / "kedge.yaml")
    assert settings.sections["boot"] == {"interface": "prov", "address": "10.9.0.1"}
    assert settings.state_dir == tmp_path / "s"
    assert "cidr: 10.9.0.0/24" in (tmp_path / "site" / "site.yaml").read_text()
    assert run(["init", str(tmp_path / "x"), "--address", "10.9.0.300"]) == 2


def test_the_template_explains_every_key() -> None:
    keys = {*TOP.fields, *API.fields, *SYNC.fields, *EVENTS.fields, *TREE.fields}
    keys = (keys | {*BootSettings.__struct_fields__}) - {"verbose"}
    keys |= {"registries", "credentials", "ca", "insecure"}
    text = " " + configuration(Path("/x"))
    for key in keys:
        assert f" {key}:" in text.replace("\n", " "), key


def test_every_commented_default_of_the_template_is_valid(tmp_path: Path) -> None:
    text = configuration(tmp_path).replace("# socket: <state_dir>", "# socket: /x")
    lines: list[str] = []
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        bare = line.strip().removeprefix("# ")
        is_key = indent and line.strip().startswith("#") and ": " in f"{bare} "
        lines.append(" " * indent + bare if is_key else line)
    settings = parse_settings(yaml.safe_load("\n".join(lines)), "template")
    import msgspec

    boot = msgspec.convert(dict(settings.sections["boot"]), BootSettings)
    default = BootSettings(
        interface=boot.interface, address=boot.address, dhcp_socket=boot.dhcp_socket,
        parent=boot.parent,
    )  # fmt: skip
    assert boot == default  # what is called a default is one
    assert settings.sync_port == 8471 and settings.api_listen == "127.0.0.1:8470"


def test_secrets_come_from_standard_input_and_are_private(
    head: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("username: admin\npassword: p: 'w #1\n"))
    assert run(["secret", "set", "bmc"]) == 0
    path = head / "state" / "secrets.yaml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Secrets(path, {}).named("bmc") == {"username": "admin", "password": "p: 'w #1"}
    monkeypatch.setattr(sys, "stdin", io.StringIO("password: other\n"))
    assert run(["secret", "set", "bmc", "password", "--stdin"]) == 0
    assert Secrets(path, {}).named("bmc") == {"username": "admin", "password": "other"}
    capsys.readouterr()
    assert run(["secret", "list", "-o", "json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out) == [{"name": "bmc", "keys": ["password", "username"]}]
    assert "other" not in told.out + told.err
    assert run(["secret", "remove", "bmc"]) == 0
    assert run(["secret", "remove", "bmc"]) == 1
    assert [p.name for p in path.parent.iterdir() if p.name.startswith(".secrets")] == []


@pytest.mark.parametrize("text", ["", "no colon\n", "bad key!: x\n"])
def test_bad_secrets_change_nothing_and_are_not_repeated(
    head: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    assert run(["secret", "set", "bmc"]) == 1
    assert not (head / "state" / "secrets.yaml").exists()
    assert "bad key!" not in capsys.readouterr().err


def test_a_line_without_a_colon_is_not_repeated() -> None:
    with pytest.raises(KedgeError) as caught:
        parse_secret_lines("username: x\nhunter2\n")
    assert "hunter2" not in str(caught.value) and caught.value.where.endswith(":2")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("true", True),
        ("7", 7),
        ("-7", -7),
        ("2026.10", "2026.10"),
        ("52:54:00:77:00:01", "52:54:00:77:00:01"),
        ("[quiet, on]", ["quiet", "on"]),
        ("{protocol: ipmi, port: 623}", {"protocol": "ipmi", "port": 623}),
        ('"7"', "7"),
        ("", ""),
        ("null", "null"),
    ],
)
def test_values_mean_what_they_mean_in_a_site(text: str, value: object) -> None:
    assert parse_value(text) == value


def test_a_broken_value_is_refused() -> None:
    with pytest.raises(KedgeError):
        parse_value("[quiet", "boot.args")


def test_a_folder_is_read_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site.yaml").write_text("x")
    (tmp_path / "logo.png").write_bytes(b"\x89PNG\xff\xfe")
    (tmp_path / ".hidden").write_text("x")
    (tmp_path / "site.yaml~").write_text("x")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert read_folder(tmp_path) == {"site.yaml": "x"}
    (tmp_path / "macs.csv").write_bytes(b"\xff")
    with pytest.raises(KedgeError, match="UTF-8"):
        read_folder(tmp_path)
    (tmp_path / "macs.csv").unlink()
    monkeypatch.setattr("kedge.cli.folder.MOST_FILES", 0)
    with pytest.raises(KedgeError, match="holds more"):
        read_folder(tmp_path)
