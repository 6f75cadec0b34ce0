"""The agent of a running node as a process: what ``kedge.agent`` starts, told by arguments where it is.

usage: sync_agent_node.py FOLDER PORT NODE library|stand-in
"""

from __future__ import annotations

import sys

folder, port, node, messages = sys.argv[1:]
if messages == "stand-in":  # as in a layer0, which has no protobuf
    sys.modules["google"] = None  # type: ignore[assignment]

from pathlib import Path  # noqa: E402

from kedge.agent.agent import Agent  # noqa: E402
from kedge.agent.boot_arguments import BootArguments  # noqa: E402
from kedge.agent.keeping import Keeping  # noqa: E402
from kedge.agent.place import RUNNING, Place  # noqa: E402

run = Path(folder)
token = (run / "token").read_bytes()
parents = (("127.0.0.1", int(port)),)
boot = BootArguments(
    "http://127.0.0.1", node, "52:54:00:00:00:01", 1, int(node[1:]) + 1, parents, token
)
keeping = Keeping(run / "agent")
keeping.save_object("state.json", {"image": "sha256:0", "running": True, "systemd": False})
process_1 = run / "root"
process_1.mkdir(exist_ok=True)
sys.exit(Agent(Place(RUNNING, boot, keeping, run, process_1), print).run())
