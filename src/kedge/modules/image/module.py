"""The image module: bring the wanted OCI image to the head, and from there to the nodes.

``image.wanted`` is a reference; importing it pins it to a digest. ``image.ready`` says whether the
head holds everything that a node of that reference needs, ``image.running`` what the node runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import cast

from kedge.core.kinds import Anything, Integer, Text, Value
from kedge.core.module import Module
from kedge.core.variable import Relation
from kedge.lib.errors import KedgeError
from kedge.modules.image import relation
from kedge.modules.image.access import registry_access
from kedge.modules.image.importer import find_digest, import_image
from kedge.modules.image.listing import list_records
from kedge.modules.image.once import Once
from kedge.modules.image.pins import pin, pinned, read_pins
from kedge.modules.image.prune import prune
from kedge.modules.image.reference import parse_source
from kedge.modules.image.store import ImageRecord, find_record, missing_blobs, read_records
from kedge.modules.port import Io, Node

IMPORT_TIMEOUT_S = 1800.0
ACTIVATE_TIMEOUT_S = (
    600.0  # a large image over a busy network, and an init that waits for its devices
)
START_WITHIN_S = 300
ARCHES = ("x86_64", "aarch64")

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
start_within = module.variable(
    "start_within_s",
    Integer(10, 3600),
    configured=True,
    summary=f"How many seconds the image's init may take until the system is up ({START_WITHIN_S})",
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
    if io.above is not None:
        await io.above.fetch("image", f"{reference} {arch}")
    else:
        await imported(reference, arch, io)
    await look(node, io)


async def imported(reference: str, arch: str, io: Io) -> ImageRecord:
    """The imported image: pulled and converted now, once for all who want it at the same time."""
    work = partial(bring, reference, arch, io)
    return await _imports.run((io.state_dir, reference, arch), work)


async def foresee(reference: str, arch: str, io: Io) -> Value:
    """What ``reference`` is pinned to, what it is now, and the nodes that an import would move."""
    before = pinned(read_pins(io.state_dir), reference, arch)
    after = await find_digest(reference, arch, io.state_dir, access=registry_access(reference, io))
    moves: list[Value] = [
        name
        for name, node in io.nodes().items()
        if relation.reference_of(node.configured("image.wanted")) == reference
        and node.configured("boot.arch") == arch
        and relation.digest_of(node.seen("image.running")) not in ("", after)
    ]
    return {"reference": reference, "arch": arch, "before": before, "after": after, "moves": moves}


async def bring(reference: str, arch: str, io: Io, agreed: str = "") -> ImageRecord:
    """Import ``reference`` for ``arch`` now, whatever is pinned, and pin what came."""
    access = registry_access(reference, io)

    def tell(what: str, share: float) -> None:
        io.publish("image", {"reference": reference, "arch": arch, "what": what, "share": share})

    record = await import_image(reference, arch, io.state_dir, access=access, progress=tell)
    if agreed not in ("", record.digest):
        raise KedgeError(
            "image.moved", f"is {record.digest} by now, not {agreed}", where=reference,
            next_step="Look again and decide anew: kedge image import",
        )  # fmt: skip
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
        {"blob": layer.blob, "size_bytes": layer.size_bytes, "sha512": layer.sha512}
        for layer in record.layers
    ]
    args: dict[str, Value] = {
        "digest": record.digest,
        "kernel": record.kernel.blob,
        "layers": layers,
        "start_within_s": node.configured("image.start_within_s") or START_WITHIN_S,
    }
    io.order(node.name, "image.activate", args)


module.edge(
    "activate",
    {running: "wanted", "boot.stage": "running"},
    where="node",
    requires={running: "none", ready: "ready", "boot.stage": "layer0"},
    on_timeout={"boot.stage": "stuck"},
    cost_s=30,
    timeout_s=ACTIVATE_TIMEOUT_S,
    summary="Fetch, verify and mount the image on the node and start its init",
    handler=activate,
    hints={
        "": "See to what the reason names, and look at its console (an init that only takes long: "
        "kedge node set {node} image.start_within_s=SECONDS)"
    },
)


@module.action("import")
async def import_now(io: Io, args: Mapping[str, Value]) -> Value:
    """Import ``{"reference", "arch"}`` again; nodes that want the reference move to what it is now.

    ``dry_run`` only looks what the reference is now and which nodes would move; ``digest`` (what a
    person agreed to) refuses the import when the reference has become another one meanwhile.
    """
    reference, arch = str(args.get("reference") or ""), str(args.get("arch") or ARCHES[0])
    parse_source(reference)
    if arch not in ARCHES:
        raise KedgeError(
            "image.arch", f"{arch!r} is no architecture", next_step=f"Valid: {', '.join(ARCHES)}"
        )
    if args.get("dry_run"):
        return await foresee(reference, arch, io)
    agreed = str(args.get("digest") or "")
    record = await _imports.run(
        (io.state_dir, reference, arch, agreed), partial(bring, reference, arch, io, agreed)
    )
    for node in io.nodes().values():
        if relation.reference_of(node.configured("image.wanted")) == reference:
            await look(node, io)
    return cast("Value", record.as_json())


@module.action("prune")
async def prune_now(io: Io, args: Mapping[str, Value]) -> Value:
    """Remove blobs that no record names; with ``unused`` also images that nobody needs. ``dry_run`` only
    says what would go, and why the rest stays."""
    return await prune(io, args)


@module.action("resolve", harmless=True)
async def resolve_now(io: Io, args: Mapping[str, Value]) -> Value:
    """What ``{"reference", "arch"}`` is in its registry now; nothing is pulled."""
    reference, arch = str(args.get("reference") or ""), str(args.get("arch") or ARCHES[0])
    digest = await find_digest(reference, arch, io.state_dir, access=registry_access(reference, io))
    if not digest:
        raise KedgeError(
            "image.local", "a source on this machine has no digest that lasts", where=reference,
            next_step="Push the image to a registry, and name it there",
        )  # fmt: skip
    return {"reference": reference, "arch": arch, "digest": digest}


@module.action("list", harmless=True)
async def list_images(io: Io, args: Mapping[str, Value]) -> Value:
    """All imported images, which references are pinned to them, and who needs them."""
    return list_records(io)


@module.action("show", harmless=True)
async def show_image(io: Io, args: Mapping[str, Value]) -> Value:
    """One image by ``{"image"}``: its digest, the start of it, or a reference."""
    asked = str(args.get("image") or "")
    pins = read_pins(io.state_dir)
    digests = {digest for name, digest in pins.items() if name.partition(" ")[0] == asked}
    found: list[Value] = [
        record.as_json()
        for record in read_records(io.state_dir)
        if record.digest in digests
        or (
            len(asked) >= 6
            and record.digest.removeprefix("sha256:").startswith(asked.removeprefix("sha256:"))
        )
    ]
    if not found:
        raise KedgeError("image.unknown", f"no image {asked!r}", next_step="kedge image list")
    return found


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
