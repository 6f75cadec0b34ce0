"""One child's session at its parent's end, with what belongs to it there."""

from __future__ import annotations

from dataclasses import dataclass

from kedge.sync.admission import Node
from kedge.sync.exchange import Exchange
from kedge.sync.handshake import Agreed
from kedge.sync.session import Session

NEVER_AT = float("inf")


@dataclass(slots=True)
class Link:
    """The session, the exchange that runs in it, and what the parent has to remember of both."""

    session: Session
    exchange: Exchange
    node: Node
    agreed: Agreed
    welcome: bytes  # sent again when the same hello comes again
    nonce: bytes  # of that hello
    is_join: bool
    renewal: bool
    wake_at: float = NEVER_AT
    asked: bytes | None = None  # what was heard since the last answer: one heartbeat, nothing else
    pulse: bytes | None = None  # under which `kedge.sync.pulse.Pulses` has it
