"""The faults an administrator (or a test) puts on a machine, kept so that they outlive the daemon."""

from __future__ import annotations

from pathlib import Path

import msgspec

from kedge.lab import links
from kedge.lab.bmc import Bmc
from kedge.lab.paths import write_private
from kedge.lib.errors import KedgeError

KINDS = ("kill", "bmc-hang", "bmc-wrong-password", "drop", "slow", "clear")


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with one machine on purpose."""

    bmc_hang: bool = False
    bmc_wrong_password: bool = False
    drop_percent: float | None = None
    slow_bits: int | None = None

    def words(self) -> list[str]:
        """The faults as status shows them."""
        found = ["bmc-hang"] * self.bmc_hang + ["bmc-wrong-password"] * self.bmc_wrong_password
        if self.drop_percent is not None:
            found.append(f"drop {self.drop_percent:g}%")
        if self.slow_bits is not None:
            found.append(f"slow {self.slow_bits / 1e6:g}mbit")
        return found


def changed(faults: Faults, kind: str, value: str | None, name: str) -> Faults:
    """The faults after adding one kind (``kill`` leaves no trace and is not among them)."""
    if kind in ("drop", "slow") and value is None:
        raise KedgeError(
            "lab.bad_fault",
            f"the fault {kind} needs a value",
            where=name,
            next_step=f"Type: kedge lab fault {name} {kind} {'20' if kind == 'drop' else '2mbit'}",
        )
    if kind not in ("drop", "slow") and value is not None:
        raise KedgeError("lab.bad_fault", f"the fault {kind} takes no value", where=name)
    match kind:
        case "bmc-hang":
            return msgspec.structs.replace(faults, bmc_hang=True)
        case "bmc-wrong-password":
            return msgspec.structs.replace(faults, bmc_wrong_password=True)
        case "drop":
            return msgspec.structs.replace(faults, drop_percent=links.percent(value or ""))
        case "slow":
            return msgspec.structs.replace(faults, slow_bits=links.rate_bits(value or ""))
        case "clear":
            return Faults()
        case _:
            raise KedgeError(
                "lab.bad_fault",
                f"{kind!r} is no fault",
                where=name,
                next_step=f"Valid faults: {', '.join(KINDS)}",
            )


async def enact(old: Faults, new: Faults, tap: str, bmc: Bmc | None, name: str) -> None:
    """Make the world go from the old faults to the new ones."""
    if (old.drop_percent, old.slow_bits) != (new.drop_percent, new.slow_bits):
        await links.apply(tap, new.drop_percent, new.slow_bits)
    if bmc is None:
        if new.bmc_hang or new.bmc_wrong_password:
            raise KedgeError("lab.bad_fault", "this machine has no BMC", where=name)
        return
    if old.bmc_wrong_password != new.bmc_wrong_password:
        await bmc.set_wrong_password(new.bmc_wrong_password)
    if old.bmc_hang != new.bmc_hang:
        await bmc.set_hang(new.bmc_hang)


def save(path: Path, faults: dict[str, Faults]) -> None:
    """Keep the faults of all machines."""
    write_private(path, msgspec.json.encode(faults).decode())


def load(path: Path) -> dict[str, Faults]:
    """The faults that `save` kept; none where there is no file."""
    if not path.exists():
        return {}
    return msgspec.json.decode(path.read_bytes(), type=dict[str, Faults])
