"""The image module: bring the wanted OCI image to the head, and from there to the nodes.

``image.wanted`` is a reference; importing it pins it to a digest. ``image.ready`` says whether the
head holds everything that a node of that reference needs, ``image.running`` what the node runs.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import cast

from kedge.core.kinds import Anything, Text, Value
from kedge.core.module import Module
from kedge.core.variable import Relation
from kedge.lib.errors import KedgeError
from kedge.modules.image import relation
from kedge.modules.image.access import registry_access
from kedge.modules.image.importer import import_image
from kedge.modules.image.once import Once
from kedge.modules.image.pins import pin, pinned, read_pins
from kedge.modules.image.store import ImageRecord, find_record, missing_blobs
from kedge.modules.port import Io, Node

IMPORT_TIMEOUT_S = 1800.0

module = Module("image", summary="Bring OCI images from a registry to the nodes, by digest")

wanted = module.variable(
    "wanted",
    Text(example="registry.example:5000/compute:2026.11"),
    configured=True,
    summary="The OCI image that the node shall run",
)
ready = module.variable(
    "ready",
    Anything(),
    relation=Relation("image.wanted", relation.READY, "ready", relation.ready),
    summary="The reference whose image the head holds, pinned and converted",
)
running = module.variable(
    "running",
    Anything(),
    relation=Relation("image.wanted", relation.RUNNING, "wanted", relation.running),
    while_={"boot.stage": "running"},
    initial="none",
    summary="The image that the node runs",
)
module.listens(running, timeout_s=60, requires={"boot.stage": "running"}, name="listen_running")

_imports = Once[ImageRecord]()


@module.discovers(ready, timeout_s=10)
async def look(node: Node, io: Io) -> None:
    """Look whether the wanted image is imported and whole."""
    record = held(node, io.state_dir)
    reference = relation.reference_of(node.configured("image.wanted"))
    if record is not None:
        io.refine(node.name, "image.wanted", pinned_form(reference, record))
    io.observe(node.name, {"image.ready": reference if record is not None else ""}, by="image")


@module.mutates(ready, "missing", "ready", cost_s=30, timeout_s=IMPORT_TIMEOUT_S)
async def fetch(node: Node, io: Io) -> None:
    """Pull the wanted image, convert its layers, and pin its reference to the digest."""
    reference = relation.reference_of(node.configured("image.wanted"))
    arch = str(node.configured("boot.arch"))
    work = partial(bring, reference, arch, io)
    await _imports.run((io.state_dir, reference, arch), work)
    await look(node, io)


async def bring(reference: str, arch: str, io: Io) -> ImageRecord:
    """Import ``reference`` for ``arch`` now, whatever is pinned, and pin what came."""
    access = registry_access(reference, io)

    def tell(what: str, share: float) -> None:
        io.publish("image", {"reference": reference, "arch": arch, "what": what, "share": share})

    record = await import_image(reference, arch, io.state_dir, access=access, progress=tell)
    pin(io.state_dir, reference, arch, record.digest)
    io.event("", "image", reference, f"imported for {arch} as {record.digest}")
    return record


async def activate(node: Node, io: Io) -> None:
    """Order the node's agent to fetch, verify and mount the image and to hand over to its init."""
    record = held(node, io.state_dir)
    if record is None:
        raise KedgeError(
            "image.missing", "the wanted image is not imported", where=node.name,
            next_step="kedge image list",
        )  # fmt: skip
    layers: list[Value] = [
        {"blob": layer.blob, "size_bytes": layer.size_bytes} for layer in record.layers
    ]
    args: dict[str, Value] = {
        "digest": record.digest,
        "kernel": record.kernel.blob,
        "layers": layers,
    }
    io.order(node.name, "image.activate", args)


module.edge(
    "activate",
    {running: "wanted", "boot.stage": "running"},
    where="node",
    requires={running: "none", ready: "ready", "boot.stage": "layer0"},
    on_timeout={"boot.stage": "stuck"},
    cost_s=30,
    timeout_s=300,
    summary="Fetch, verify and mount the image on the node and start its init",
    handler=activate,
)


def held(node: Node, state_dir: Path) -> ImageRecord | None:
    """The record of the node's wanted image, if it is pinned and all its blobs are there."""
    reference = relation.reference_of(node.configured("image.wanted"))
    digest = pinned(read_pins(state_dir), reference, str(node.configured("boot.arch")))
    record = find_record(state_dir, digest) if digest else None
    return record if record is not None and not missing_blobs(state_dir, record) else None


def pinned_form(reference: str, record: ImageRecord) -> Value:
    """What ``image.wanted`` means once it is pinned."""
    return cast(
        "Value",
        {"reference": reference, "digest": record.digest, "kernel": record.kernel.blob},
    )
