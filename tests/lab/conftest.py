"""The labs that the tests of this folder share, each of which ends before other labs begin."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from cluster import Cluster
from small_lab import IPMI, REDFISH, describe, write_tiny_system

from kedge.lab.lab import Lab

_up: dict[str, ExitStack] = {}


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A running head, its site not applied yet, all machines off."""
    with ExitStack() as stack:
        _up["cluster"] = stack
        yield stack.enter_context(Cluster(tmp_path_factory.mktemp("cluster")))


@pytest.fixture(scope="session")
def small_lab() -> Iterator[Lab]:
    """The two machines of `small_lab`."""
    lab = Lab(describe(f"t{os.getpid()}"))
    with ExitStack() as stack:
        _up["small_lab"] = stack
        stack.callback(lab.down)
        lab.up()
        for name in (IPMI, REDFISH):
            write_tiny_system(lab, name)
        yield lab


@pytest.fixture
def healthy(small_lab: Lab) -> Iterator[Lab]:
    """That lab with every machine off and no fault, before and after."""
    _heal(small_lab)
    yield small_lab
    _heal(small_lab)


def _heal(lab: Lab) -> None:
    for name in (IPMI, REDFISH):
        lab.fault(name, "clear")
        lab.switch(name, "off")


@pytest.hookimpl(trylast=True)  # after the fixtures that belong to the test
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """End each lab after the last test that uses it, not after the last of all."""
    rest = item.session.items[item.session.items.index(item) + 1 :]
    used = {name for later in rest for name in getattr(later, "fixturenames", ())}
    for name in _up.keys() - used:
        _up.pop(name).close()
