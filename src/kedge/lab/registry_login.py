"""The registry's credentials in the form that skopeo, buildah and podman read (``--authfile``).

``python -m kedge.lab.registry_login SECRETS REGISTRY AUTHFILE`` writes one from a site's secrets.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path

from kedge.lab.bmc import Login
from kedge.lab.credentials import login
from kedge.lab.paths import write_private


def write(registry: str, known: Login, authfile: Path) -> None:
    """Write ``authfile`` (0600) with the login for ``registry`` (host:port)."""
    pair = base64.b64encode(f"{known.username}:{known.password}".encode()).decode()
    write_private(authfile, json.dumps({"auths": {registry: {"auth": pair}}}))


if __name__ == "__main__":
    secrets, name, target = sys.argv[1:]
    write(name, login(Path(secrets), "registry"), Path(target))
