"""A registry with passwords and TLS, and an image in it, for the tests that import images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from oci_images import (
    PASSWORD,
    USER,
    Registry,
    base_layer,
    running_registry,
    top_layer,
    write_layout,
)

from kedge.modules.image.access import RegistryAccess


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def access(registry: Registry) -> RegistryAccess:
    return RegistryAccess(USER, PASSWORD, ca=str(registry.ca))


@pytest.fixture
def compute(registry: Registry, tmp_path: Path) -> str:
    """compute:1 of this test's own repository."""
    layout = tmp_path / "layout"
    write_layout(
        layout,
        "1",
        [base_layer(), top_layer("1")],
        labels={"kedge.kernel.args": "console=ttyS0 a=b"},
    )
    write_layout(layout, "2", [base_layer(), top_layer("2")])
    name = f"t{abs(hash(str(tmp_path)))}/compute"
    registry.push(layout, "2", f"{name}:2")
    return registry.push(layout, "1", f"{name}:1")
