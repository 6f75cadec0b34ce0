"""Build layer0: the small boot environment that carries the agent to a node, one per architecture.

`build` extracts Debian packages (no emulation, no maintainer scripts), adds the agent, packs the
tree into a squashfs and writes a small initramfs that fetches it. The result is blobs in the state
directory and one record that names them.
"""

from __future__ import annotations

from kedge.modules.boot.layer0.build import build
from kedge.modules.boot.layer0.record import ARCHITECTURES, Layer0, load_record

__all__ = ["ARCHITECTURES", "Layer0", "build", "load_record"]
