"""What faults may be asked for, and how they are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from kedge.lab import faults, links
from kedge.lab.faults import Faults
from kedge.lib.errors import KedgeError


@pytest.mark.parametrize(("text", "value"), [("20", 20), ("20%", 20), ("0.5", 0.5), ("100", 100)])
def test_a_share_of_frames(text: str, value: float) -> None:
    assert links.percent(text) == value


@pytest.mark.parametrize("text", ["0", "-1", "101", "", "%", "many", "1e1", "nan", "20%%"])
def test_what_is_no_share(text: str) -> None:
    with pytest.raises(KedgeError):
        links.percent(text)


@pytest.mark.parametrize(
    ("text", "bits"), [("8kbit", 8000), ("1.5mbit", 1_500_000), ("2Gbit", 2_000_000_000)]
)
def test_a_rate(text: str, bits: int) -> None:
    assert links.rate_bits(text) == bits


@pytest.mark.parametrize("text", ["1", "1bit", "7kbit", "fast", "-1mbit", "1mbit;", "1 mbit"])
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(KedgeError):
        links.rate_bits(text)


def test_faults_add_up_and_are_cleared_together() -> None:
    now = Faults()
    for kind, value in (("bmc-hang", None), ("drop", "20"), ("slow", "2mbit")):
        now = faults.changed(now, kind, value, "n1")
    assert now.words() == ["bmc-hang", "drop 20%", "slow 2mbit"]
    assert faults.changed(now, "clear", None, "n1") == Faults()
    assert Faults().words() == []


@pytest.mark.parametrize(
    ("kind", "value"), [("drop", None), ("slow", None), ("clear", "x"), ("explode", None)]
)
def test_faults_that_make_no_sense(kind: str, value: str | None) -> None:
    with pytest.raises(KedgeError) as caught:
        faults.changed(Faults(), kind, value, "n1")
    assert caught.value.where == "n1"


def test_faults_outlive_the_process(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    assert faults.load(path) == {}
    kept = {"n1": Faults(drop_percent=20.0), "n2": Faults(bmc_hang=True)}
    faults.save(path, kept)
    assert faults.load(path) == kept
