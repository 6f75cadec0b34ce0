"""What every driver of BMCs must do (`kedge.modules.power.bmc`), asked of each driver there is.

A driver is added in `BENCHES`; `bmcs.Bench` says what the suite needs of its BMC.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from bmcs import WRONG, Bench, OnSimulated, ipmi, on_redfish

from ipmi_simulator import can_run_ipmi_sim
from kedge.lib.errors import KedgeError, NotNow
from kedge.modules.power.bmc import CALL_TIMEOUT_S, Bmc, Driver
from private_network import can_make_networks

BENCHES: dict[str, tuple[Callable[[Path], AbstractContextManager[Bench]], str]] = {
    "ipmi": (ipmi, "" if can_run_ipmi_sim() else "needs Debian's openipmi"),
    "redfish": (on_redfish, "" if can_make_networks() else "needs root"),
    "simulated": (lambda folder: nullcontext(OnSimulated()), ""),
}
"""What starts a BMC in a folder, and why it cannot be started here."""

CALLS: dict[str, Callable[[Driver], object]] = {
    "read": lambda driver: driver.read(),
    "on": lambda driver: driver.on(),
    "off": lambda driver: driver.off(),
    "shut_down": lambda driver: driver.shut_down(),
    "boot_from_network_once": lambda driver: driver.boot_from_network_once(),
}


@pytest.fixture(params=BENCHES)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    start, why_not = BENCHES[request.param]
    if why_not:
        pytest.skip(why_not)
    with start(tmp_path) as started:
        yield started


@pytest.fixture
def driver(bench: Bench) -> Driver:
    return bench.driver(bench.bmc)


def refusal(bench: Bench, bmc: Bmc, call: Callable[[Driver], object]) -> KedgeError:
    """The error of a call, which comes in time, says what to do, and shows no password."""
    driver, began_at = bench.driver(bmc), bench.now()
    with pytest.raises(KedgeError) as caught:
        call(driver)
    assert bench.now() - began_at < CALL_TIMEOUT_S + 1.0
    error = caught.value
    assert error.where == bmc.node and error.next_step
    for secret in (bmc.password, WRONG):
        assert secret not in f"{error} {error.as_dict()} {error.__cause__!r} {bmc!r}"
    return error


def test_it_says_what_is_so_now(bench: Bench, driver: Driver) -> None:
    for on in (False, True, True, False):  # whoever did it
        bench.set_power(on)
        assert driver.read() == ("on" if on else "off")
    assert not bench.told(), "a question changes nothing"


def test_a_machine_is_switched_on_and_off(bench: Bench, driver: Driver) -> None:
    driver.on()
    assert bench.has_power() and driver.read() == "on"
    driver.off()
    assert not bench.has_power() and driver.read() == "off"
    driver.on()
    driver.shut_down()
    assert not bench.has_power() and driver.read() == "off"
    assert list(bench.told()) == ["on", "off", "on", "shut down"]


def test_what_is_said_twice_is_so_once(bench: Bench, driver: Driver) -> None:
    for call, on in (("on", True), ("off", False), ("on", True), ("shut_down", False)):
        CALLS[call](driver)
        so_far = len(bench.told())
        CALLS[call](driver)
        assert bench.has_power() == on == (driver.read() == "on")
        again = set(bench.told()[so_far:])
        assert again <= {call.replace("_", " ")}, "never a cycle, never a toggle"


def test_the_network_is_chosen_once_and_nothing_else_changes(bench: Bench, driver: Driver) -> None:
    for on in (False, True):
        bench.set_power(on)
        driver.boot_from_network_once()
        driver.boot_from_network_once()
        assert bench.has_power() == on
    assert set(bench.told()) == {"network once"}


@pytest.mark.parametrize("call", CALLS)
def test_wrong_credentials_are_named_and_nothing_is_done(bench: Bench, call: str) -> None:
    bench.set_power(True)
    for wrong in (replace(bench.bmc, password=WRONG), replace(bench.bmc, username="eve")):
        error = refusal(bench, wrong, CALLS[call])
        assert error.code == "power.refused" and "kedge secret set bmc" in error.next_step
    assert bench.has_power() and not bench.told()


def test_a_bmc_that_is_not_there_is_said_to_be_silent(bench: Bench) -> None:
    error = refusal(bench, bench.nowhere(), CALLS["on"])
    assert error.code == "power.no_answer" and isinstance(error, NotNow)


def test_silence_ends_in_time_and_is_forgiven(bench: Bench, driver: Driver) -> None:
    assert driver.read() == "off"
    with bench.silent():
        for known in (driver, bench.driver(bench.bmc)):  # one with a session, one without
            began_at = bench.now()
            with pytest.raises(NotNow) as caught:
                known.read()
            assert caught.value.code == "power.no_answer"
            assert bench.now() - began_at < CALL_TIMEOUT_S + 1.0
    assert driver.read() == "off"
    driver.on()
    assert bench.has_power()
