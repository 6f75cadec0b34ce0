"""Order ``image.activate``: fetch an image's layers, mount them, and prepare the hand-over to it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from kedge.agent import handover, placing
from kedge.agent.duties import host_files
from kedge.agent.place import LAYER0, RUNNING, SYSROOT, Place
from kedge.agent.process import Tell, in_host
from kedge.agent.stack import mount_image
from kedge.lib.errors import KedgeError

NAME = "image.activate"

_GIVE_UP_S = 300.0
_TELL_EVERY_S = 0.5
_SPARE_BYTES = 64 << 20  # left for the image to start with


class Layer(NamedTuple):
    """A layer as the order names it: the digest of its squashfs file, that file's size, and the checksum
    that is quicker to check, if the head knows it."""

    digest: str
    size_bytes: int
    sha512: str = ""


def carry_out(
    place: Place, args: dict[str, Any], record: Mapping[str, bytes], tell: Tell
) -> dict[str, Any]:
    """Fetch, verify, mount, write the host files, inject the units. Raises `KedgeError`."""
    digest, layers = _read(args)
    if place.stage == RUNNING and place.keeping.load_object("state.json").get("image") == digest:
        return {}  # asked again (the head has restarted) for what is running or starting already
    place.require(LAYER0, NAME)
    node = _node(place, record)
    paths = _fetch_all(place, layers, tell)
    tell({"progress": {"what": "mounting the image", "share": 0.9}})
    seen_by_host = [f"/run/{path.relative_to(place.run)}" for path in paths]
    in_host(lambda: mount_image(seen_by_host, SYSROOT))
    init = handover.find_init(place.image_root)
    files = host_files.parse(record)
    listed = frozenset(file.path for file in files)
    mac = place.boot.mac
    ours = handover.identity_files(place.image_root, node, mac, listed)
    for file in (*ours, *handover.update_marks(place.image_root)):
        placing.place(place.image_root, file)
    written = host_files.apply(place, files)
    network = handover.network_file(place.image_root, mac, listed)
    if network is not None:
        placing.place(str(place.run), network)
    if init.is_systemd:
        handover.inject_units(str(place.run))
    handover.tell_init(str(place.run), init)
    result: dict[str, Any] = {"image": digest, "files": written, "systemd": init.is_systemd}
    result["start_within_s"] = args.get("start_within_s")
    tell({"progress": {"what": "handing over to the image's init", "share": 1.0}})
    return {"hand_over": result, "goes_on": True}


def _read(args: dict[str, Any]) -> tuple[str, list[Layer]]:
    digest, raw = args.get("digest"), args.get("layers")
    layers: list[Layer] = []
    for item in cast("list[Any]", raw) if isinstance(raw, list) else []:
        fields = cast("dict[str, Any]", item) if isinstance(item, dict) else {}
        blob, size_bytes = fields.get("blob"), fields.get("size_bytes")
        sha512 = fields.get("sha512", "")
        if not isinstance(size_bytes, int) or not isinstance(sha512, str):
            layers.clear()
            break
        if _is_digest(blob) and size_bytes > 0:
            layers.append(Layer(cast("str", blob), size_bytes, sha512))
        else:
            layers.clear()
            break
    if not _is_digest(digest) or not layers:
        raise KedgeError(
            "image.bad_order",
            "the order to activate an image cannot be carried out",
            why="it does not name the image's digest and its layers with their sizes",
        )
    return cast("str", digest), layers


def _is_digest(value: object) -> bool:
    if not isinstance(value, str) or not value.startswith("sha256:") or len(value) != 71:
        return False
    return all(letter in "0123456789abcdef" for letter in value[7:])


def _node(place: Place, record: Mapping[str, bytes]) -> dict[str, Any]:
    try:
        node = json.loads(record.get("node", b"{}"))
    except ValueError:
        node = {}
    fields = cast("dict[str, Any]", node) if isinstance(node, dict) else {}
    return {"name": place.boot.node} | fields


def _fetch_all(place: Place, layers: list[Layer], tell: Tell) -> list[Path]:
    # Imported here, in the order's own process: HTTP would cost the agent 8 MB for ever.
    from kedge.agent.fetch import Wanted, fetch

    folder = place.run / "kedge" / "layers"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Short names: all of them must fit the overlay's mount options.
    paths = [folder / layer.digest.removeprefix("sha256:") for layer in layers]
    wanted_names = {path.name for path in paths}
    for stale in folder.iterdir():
        if stale.name.removesuffix(".part") not in wanted_names:
            stale.unlink()
    _check_room(place, layers, folder)
    total = sum(layer.size_bytes for layer in layers)
    before = 0
    for number, (layer, path) in enumerate(zip(layers, paths, strict=True), start=1):
        what = f"fetching layer {number} of {len(layers)}"
        meter = _meter(tell, what, before, total)
        wanted = Wanted(layer.digest, layer.size_bytes, sha512=layer.sha512)
        fetch(place.boot.url, wanted, path, meter, give_up_s=_GIVE_UP_S)
        before += layer.size_bytes
    return paths


def _meter(tell: Tell, what: str, before: int, total: int) -> Any:
    told_at = 0.0

    def arrived(size_bytes: int) -> None:
        nonlocal told_at
        now = time.monotonic()
        if now - told_at >= _TELL_EVERY_S:
            told_at = now
            share = round(0.9 * (before + size_bytes) / total, 3)
            tell({"progress": {"what": what, "share": share}})

    return arrived


def _check_room(place: Place, layers: list[Layer], folder: Path) -> None:
    have = sum(path.stat().st_size for path in folder.iterdir())
    need = sum({layer.digest: layer.size_bytes for layer in layers}.values()) - have
    status = os.statvfs(folder)
    room = min(status.f_bavail * status.f_frsize, _available_memory_bytes())
    if need + _SPARE_BYTES > room:
        raise KedgeError(
            "image.no_room",
            "the image does not fit into the node's memory",
            where=place.boot.node,
            why=f"{need >> 20} MiB of layers are still to come, {room >> 20} MiB are free",
            next_step="Use a smaller image, or a node with more memory",
        )


def _available_memory_bytes() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0
