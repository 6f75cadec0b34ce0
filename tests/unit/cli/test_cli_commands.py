"""Every command against a running API: output, exit status, and what reaches the master."""

from __future__ import annotations

import getpass
import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from kedge.cli.kinds import Span
from kedge.cli.main import run

READING = [
    ["status"],
    ["status", "n[1-2]", "--each"],
    ["node", "list"],
    ["node", "show", "n1"],
    ["node", "show", "n1", "--origin"],
    ["strangers"],
    ["plan", "n[1-2]"],
    ["graph"],
    ["graph", "--style", "svg", "--node", "n1"],
    ["graph", "--costs"],
    ["budgets"],
    ["why", "n1"],
    ["events"],
    ["power", "status"],
    ["power", "off", "n1", "--dry-run"],
    ["node", "set", "n1", "power.state=off", "--dry-run"],
    ["image", "list"],
    ["image", "show", "compute"],
    ["image", "prune", "--dry-run"],
    ["layer0", "list"],
    ["version"],
]
CHANGING = [
    ["node", "set", "n1", "power.state=on"],
    ["node", "unset", "n1", "power.state"],
    ["node", "hold", "n1", "--reason", "fan"],
    ["node", "release", "n[1-4]"],
    ["node", "retry", "n1"],
    ["power", "on", "n1"],
    ["power", "off", "n1", "--yes"],
    ["power", "cycle", "n[1-2]", "--yes"],
    ["image", "import", "registry:5000/compute:1"],
    ["image", "prune", "--yes"],
    ["layer0", "build"],
]


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_reading_commands_print_something_and_end_well(
    served: Any, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert run(words) == 0
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("words", READING + CHANGING, ids=" ".join)
@pytest.mark.parametrize("form", ["json", "yaml"])
def test_programs_get_one_document(
    served: Any, capsys: pytest.CaptureFixture[str], words: list[str], form: str
) -> None:
    assert run([*words, "-o", form]) == 0
    out = capsys.readouterr().out
    assert (json.loads(out) if form == "json" else yaml.safe_load(out)) is not None


def test_status_folds_alike_nodes_and_sums_up(
    served: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["status", "--fold"]) == 0
    out = capsys.readouterr().out
    assert "n[1-4]" in out and "compute:1" in out and "4 nodes, 4 converged" in out


def test_a_phase_that_is_none_is_refused_with_the_nearest_first(
    served: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["node", "list", "--phase", "helt"]) == 2
    assert "'helt' is no phase. Valid, nearest first: held, " in capsys.readouterr().err
    assert run(["node", "list", "--phase", "converged"]) == 0
    assert "n[1-4]" in capsys.readouterr().out


def test_a_plan_to_other_goals(served: Any) -> None:
    assert run(["plan", "n1", "--to", "power.state=off", "--to", "boot.stage=none"]) == 0
    assert served.operations.asked == [("plan", "n1", "power.state=off,boot.stage=none")]


def test_release_says_what_it_could_not_end(
    served: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["node", "release", "n[1-4]"]) == 0
    told = capsys.readouterr().err
    assert "n[1-3]: released" in told
    assert "n4: still held: node n4 (site.yaml:7). Next: take hold out of site.yaml" in told


def test_the_master_hears_who_asked_and_what(served: Any) -> None:
    assert run(["node", "set", "n[3-4],n1", "boot.args=[quiet]", "power.state=on"]) == 0
    values = {"boot.args": ["quiet"], "power.state": "on"}
    assert ("set", "n[1,3-4]", values, getpass.getuser()) in served.operations.asked


def test_unset_sends_nulls(served: Any) -> None:
    assert run(["node", "unset", "n1", "power.state"]) == 0
    assert served.operations.asked[-1][2] == {"power.state": None}


def test_an_unknown_node_is_refused_with_what_is_known(
    served: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["power", "on", "n9"]) == 1
    told = capsys.readouterr()
    assert not told.out
    assert "no such node: n9" in told.err and "next: n[1-4]" in told.err


def test_every_error_of_a_site_is_shown(
    served: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "site.yaml").write_text("bad: 1\n")
    assert run(["diff", str(site)]) == 1
    told = capsys.readouterr().err
    assert "site.yaml:1: unknown key" in told and "site.yaml:2: no address (odd)" in told
    assert run(["apply", str(site), "-o", "json"]) == 1
    errors = json.loads(capsys.readouterr().err)["errors"]
    assert [error["code"] for error in errors] == ["site.unknown_key", "site.bad_value"]
    assert served.operations.asked == []


def test_apply_sends_the_folder_and_shows_the_changes(
    served: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "s" / "files").mkdir(parents=True)
    (tmp_path / "s" / "site.yaml").write_text("cluster: {name: x}\n")
    (tmp_path / "s" / "files" / "motd.j2").write_text("hello\n")
    (tmp_path / "s" / ".git").mkdir()
    (tmp_path / "s" / ".git" / "config").write_text("x")
    assert run(["apply", str(tmp_path / "s")]) == 0
    verb, files, _ = served.operations.asked[0]
    assert verb == "apply" and set(files) == {"site.yaml", "files/motd.j2"}
    assert "off -> on" in capsys.readouterr().err


def test_secrets_do_not_leave_the_machine_with_a_site(served: Any, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "secrets.yaml").write_text("bmc: {password: hidden}\n")
    assert run(["apply", str(tmp_path / "s")]) == 1
    assert served.operations.asked == []


def test_wait_ends_when_all_converged(served: Any, capsys: pytest.CaptureFixture[str]) -> None:
    served.operations.converge_after_s = 1.0
    assert run(["power", "on", "n[1-4]", "--wait", "--timeout", "20"]) == 0
    told = capsys.readouterr().err
    assert "moving boot.load" in told and "n[1-4]: converged" in told


def test_scripts_wait_for_kedge_and_for_nodes(
    served: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(["wait", "--for", "api", "--timeout", "5"]) == 0
    assert run(["wait", "--timeout", "5"]) == 0
    assert "n[1-4]: converged" in capsys.readouterr().err
    served.operations.phases["n2"] = "moving"
    assert run(["wait", "n2", "--timeout", "0.7"]) == 3
    assert run(["wait", "n2", "--for", "running", "--timeout", "5"]) == 0
    assert "n2: running" in capsys.readouterr().err
    served.operations.phases["n2"] = "blocked"
    assert run(["wait", "n2", "--timeout", "20"]) == 4
    monkeypatch.setenv("KEDGE_API", "/nowhere/api.sock")
    assert run(["wait", "--for", "api", "--timeout", "0.5"]) == 3
    assert "Kedge did not answer" in capsys.readouterr().err


def test_wait_that_is_too_long_is_late(served: Any, capsys: pytest.CaptureFixture[str]) -> None:
    served.operations.converge_after_s = 60.0
    assert run(["power", "on", "n1", "--wait", "--timeout", "0.7"]) == 3
    assert "Not in time: n1" in capsys.readouterr().err


@pytest.mark.parametrize("phase", ["blocked", "quarantined", "held"])
def test_wait_tells_trouble(served: Any, capsys: pytest.CaptureFixture[str], phase: str) -> None:
    served.operations.phases["n2"] = phase
    served.operations.why = "the BMC refused the password"
    assert run(["node", "set", "n[1-4]", "power.state=on", "--wait", "--timeout", "30"]) == 4
    assert f"n2: {phase}: the BMC refused the password" in capsys.readouterr().err


def test_check_and_plan_tell_trouble(served: Any) -> None:
    assert run(["status", "--check"]) == 0
    served.operations.phases["n2"] = "blocked"
    assert run(["status", "--check"]) == 4
    assert run(["plan", "n1"]) == 0
    assert run(["plan", "n[1-2]"]) == 4


def test_progress_of_an_import_is_shown(served: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["image", "import", "registry:5000/compute:1", "--arch", "aarch64"]) == 0
    assert "sha256:0000" in capsys.readouterr().err
    args = {"reference": "registry:5000/compute:1", "arch": "aarch64"}
    looked, imported = (asked[:4] for asked in served.operations.asked)
    assert looked == ("act", "image", "import", {**args, "dry_run": True})
    agreed = {**args, "digest": "sha256:" + "0" * 64}
    assert imported == ("act", "image", "import", agreed)


def test_an_import_names_the_nodes_that_it_would_move(
    served: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["image", "import", "registry:5000/compute:1", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "moves: n[1-4]" in out and "now:   sha256:0000" in out and "here:  sha256:1111" in out
    assert len(served.operations.asked) == 1
    assert run(["image", "import", "registry:5000/other:1", "--dry-run"]) == 0
    assert "moves: no node" in capsys.readouterr().out


def test_pruning_shows_asks_and_only_then_removes(
    served: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"unused": True, "older_than_s": 7200.0}
    look = ("act", "image", "prune", {**asked, "dry_run": True})
    agreed = {**asked, "images": ["sha256:" + "3" * 64]}
    prune = ["image", "prune", "--unused", "--older-than", "2h"]
    assert run([*prune, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "1 image and 1 blob (2.5 MB) would go, 1 image would stay" in out
    assert "- registry:5000/compute:0 (x86_64, sha256:333333333333): nobody needs it" in out
    assert "compute:1 (x86_64, sha256:333333333333) stays: wanted by n[1-4] (4), release A" in out
    monkeypatch.setattr("kedge.cli.output.asking", lambda *, yes: not yes)
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert run(prune) != 0
    err = capsys.readouterr().err
    assert "compute:0" in err and "Go on?" in err and "release A" not in err
    assert [asked[:4] for asked in served.operations.asked] == [look, look]
    assert run([*prune, "--yes"]) == 0
    assert "1 image and 1 blob (2.5 MB) removed; 1 image kept" in capsys.readouterr().err
    remove = ("act", "image", "prune", agreed)
    assert [asked[:4] for asked in served.operations.asked][2:] == [look, remove]


def test_pruning_blobs_alone_leaves_images_and_says_how_they_could_go(
    served: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["image", "prune", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "1 blob (2.5 MB) would go, 2 images would stay" in out
    assert "compute:0" in out and "nobody needs it: kedge image prune --unused" in out
    assert run(["image", "prune", "--older-than", "soon"]) != 0
    assert "'soon' is no span of time" in capsys.readouterr().err


def test_a_bug_of_the_master_is_an_error_not_a_crash(
    served: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served.operations, "strangers", lambda: 1 / 0)
    assert run(["strangers"]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_completion_offers_nodes_and_variables(
    served: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_KEDGE_COMPLETE", "bash_complete")
    for words, expected in (
        ("kedge power on n1,n", "n1,n4"),
        ("kedge node set n1 pow", "power.state"),
        ("kedge no", "node"),
    ):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
        with pytest.raises(SystemExit):
            run([])
        assert expected in capsys.readouterr().out


def test_a_rollout_that_waits_is_part_of_the_status(
    served: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["status"]) == 0
    out = capsys.readouterr().out
    assert (
        "rollout weekly to B: running, 1 of 4 done: waits for n2. See: kedge rollout status" in out
    )


def test_nodes_of_some_states_are_shown_and_listed_for_other_programs(
    served: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["status", "--state", "quarantined"]) == 0
    assert "No node is quarantined." in capsys.readouterr().out
    assert run(["status", "--phase", "converged", "-o", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 4
    assert run(["node", "list", "--phase", "converged", "--nodeset"]) == 0
    assert capsys.readouterr().out == "n[1-4]\n"
    assert run(["node", "list", "--phase", "held", "--nodeset"]) == 0
    assert capsys.readouterr().out == "\n"
    assert run(["node", "list", "--phase", "held"]) == 0
    assert "No node is held." in capsys.readouterr().out


@pytest.mark.parametrize(("span", "seconds"), [("90s", 90), ("15min", 900), ("1h30m", 5400)])
def test_events_of_the_last_while(
    served: Any, capsys: pytest.CaptureFixture[str], span: str, seconds: int
) -> None:
    assert run(["events", "--since", span]) == 0
    assert capsys.readouterr().out.strip()
    assert Span().convert(span, None, None) == seconds


def test_events_of_no_span_of_time_are_refused_and_of_nobody_are_none(
    served: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["events", "--since", "yesterday"]) == 2
    assert "Write it like 90s, 15min, 1h or 2d" in capsys.readouterr().err
    assert run(["events", "n4", "--since", "0s"]) == 0
    assert "Nothing of that is in the log." in capsys.readouterr().out
