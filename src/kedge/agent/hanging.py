"""An image whose init does not come up: when it is given up, and what is said of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from kedge.agent.duties.init_state import InitState
from kedge.lib.errors import KedgeError

WITHIN, SINCE, TOLD = "start_within_s", "handed_over_at", "given_up"
"""In the agent's state: how long the init may take, from when on, and whether it was given up."""

_NAMED = 5


def late_at(state: Mapping[str, Any]) -> float:
    """When the init should be up, on the machine's clock; of one without a limit, or given up: never."""
    within_s, since = state.get(WITHIN), state.get(SINCE)
    if not within_s or since is None or state.get(TOLD):
        return math.inf
    return since + within_s


def problem(state: Mapping[str, Any], found: InitState) -> KedgeError:
    """What is wrong, with the units that the init waits for and those that failed."""
    words = f"the init is {found.state}"
    if found.waits:
        words += f", and waits for {', '.join(found.waits[:_NAMED])}"
    if found.failed:
        words += f"; failed: {', '.join(found.failed[:_NAMED])}"
    return KedgeError(
        "image.hangs", f"the system was not up within {state[WITHIN]:g} s", why=words,
        next_step="Look at the unit and at the node's console. Where it only takes long: "
        "kedge node set NODE image.start_within_s=SECONDS",
    )  # fmt: skip
