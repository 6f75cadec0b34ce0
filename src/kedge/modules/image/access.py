"""How to reach a registry: its credentials, its certificate authority, or leave to do without."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kedge.core.kinds import Boolean, Struct, Text, Value, ValueProblem
from kedge.lib.errors import KedgeError
from kedge.modules.port import Io

REGISTRY = Struct({"credentials": Text(), "ca": Text(), "insecure": Boolean()})


@dataclass(frozen=True, slots=True)
class RegistryAccess:
    """``ca`` is the path of a PEM file (empty: the system's); ``insecure`` allows plain HTTP."""

    username: str = ""
    password: str = field(default="", repr=False)
    ca: str = ""
    insecure: bool = False


def registry_access(reference: str, io: Io) -> RegistryAccess:
    """The access that the head's ``image.registries`` section gives for a reference's registry."""
    host = reference.partition("/")[0]
    registries = io.settings("image").get("registries")
    section: Value = {}
    if isinstance(registries, dict):
        section = registries.get(host, {})
    try:
        checked = REGISTRY.check(section)
    except ValueProblem as problem:
        raise KedgeError(
            "settings.registry", problem.what, where=f"image.registries.{host}",
            next_step=f"Valid: {problem.valid}",
        ) from None  # fmt: skip
    assert isinstance(checked, dict)
    name = checked.get("credentials")
    secret: Mapping[str, str] = io.secret(str(name)) if name else {}
    return RegistryAccess(
        username=secret.get("username", ""),
        password=secret.get("password", ""),
        ca=str(checked.get("ca") or ""),
        insecure=bool(checked.get("insecure")),
    )
