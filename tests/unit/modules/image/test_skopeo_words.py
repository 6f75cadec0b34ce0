"""What skopeo says of a registry, and whose failure it is."""

from __future__ import annotations

import pytest

from kedge.lib.errors import NotNow
from kedge.modules.image.access import RegistryAccess
from kedge.modules.image.skopeo import explain

SOURCE = "docker://registry.example:5000/compute:1"


@pytest.mark.parametrize(
    ("said", "code", "is_tried_again"),
    [
        ("dial tcp 10.1.1.1:5000: connect: connection refused", "image.registry_down", True),
        ("received unexpected HTTP status: 503 Service Unavailable", "image.registry_down", True),
        ("reading manifest 1: manifest unknown", "image.not_found", False),
        ("unable to retrieve auth token: invalid username/password", "image.auth_refused", False),
        ("x509: certificate signed by unknown authority", "image.tls_unknown", False),
    ],
)
def test_a_registry_that_is_not_reached_is_no_failure_of_the_image(
    said: str, code: str, is_tried_again: bool
) -> None:
    error = explain(f'time="..." level=fatal msg="{said}"', SOURCE, RegistryAccess())
    assert (error.code, isinstance(error, NotNow)) == (code, is_tried_again)
    assert error.next_step and error.why == said
