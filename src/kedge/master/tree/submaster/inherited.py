"""What a sub-master takes from the master where its machine says nothing: secrets, settings of modules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kedge.core.kinds import Value
from kedge.lib.errors import KedgeError
from kedge.master.process.secrets import Secrets
from kedge.master.tree.entries import COMMON, SECRET, unpack
from kedge.master.tree.submaster.uplink import Uplink


class SettingsFromAbove:
    """The master's settings of modules. Told once more only when they came anew."""

    def __init__(self, uplink: Uplink) -> None:
        self._uplink = uplink
        self._known: tuple[bytes | None, dict[str, dict[str, Value]]] = None, {}

    def of(self, module: str) -> Mapping[str, Value]:
        """Those of one module; empty where the master has none, or has not spoken yet."""
        raw = self._uplink.entries.get(COMMON)
        if self._known[0] is not raw:
            common: dict[str, Any] = unpack(raw) or {}
            self._known = raw, common.get("modules", {})
        return self._known[1].get(module, {})


class SecretsFromAbove(Secrets):
    """Named secrets: this machine's own, else those that the master hands down."""

    uplink: Uplink

    def named(self, name: str) -> Mapping[str, str]:
        """The secret ``name``; raises `KedgeError`."""
        try:
            return super().named(name)
        except KedgeError as error:
            told = unpack(self.uplink.entries.get(SECRET + name))
            if error.code == "secret.missing" and told is not None:
                return told
            raise
