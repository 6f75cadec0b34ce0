"""The engine, pure: it hauls every node from what is discovered to what is configured.

`engine` is the door (`Engine`). It is level-triggered: an event only changes what is known
(`knowing`), and then the node is looked at again (`deciding`). `steps` begins and ends mutations,
`asking` the discoveries, `failing` counts what went wrong; `budgets`, `breaker` and `timers` are the
three things that nodes share. `record` holds a node's state, `keeping` what outlives a restart, and
`showing` turns a record into words.
"""

from kedge.core.engine.engine import Engine
from kedge.core.engine.settings import Settings

__all__ = ["Engine", "Settings"]
