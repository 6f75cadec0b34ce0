"""The one lab cluster that the tests of this folder share, and that ends before other labs begin."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cluster import Cluster

_up: list[Cluster] = []


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A running head, its site not applied yet, all machines off."""
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        _up.append(cluster)
        yield cluster


@pytest.hookimpl(trylast=True)  # after the fixtures that belong to the test
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """End the cluster after the last test that uses it, not after the last of all."""
    rest = item.session.items[item.session.items.index(item) + 1 :]
    if not any("cluster" in getattr(later, "fixturenames", ()) for later in rest):
        while _up:
            _up.pop().close()
