"""At a sub-master: images and boot environments from the master, by digest, each verified before use.

The master alone speaks with registries and pins references. It hands records down in the configured record,
which is authenticated; the blobs that they name come over HTTP from its boot server, or from that of the
sub-master above this one, where it has them already.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Any

import msgspec

from kedge.lib.errors import KedgeError, NotNow
from kedge.master.engine.head import Head
from kedge.master.modules.io import MasterIo
from kedge.master.process.host import Host
from kedge.master.tree.entries import COMMON, IMAGE, LAYER0, NEAR, WISH, of_kind, pack, unpack
from kedge.master.tree.submaster.uplink import Uplink
from kedge.modules.boot.layer0 import record as layer0
from kedge.modules.image.blobs import Blob, blob_path, place_blob, work_folder
from kedge.modules.image.keeping import use_blob
from kedge.modules.image.module import look
from kedge.modules.image.pins import pin, pinned, read_pins
from kedge.modules.image.relation import reference_of
from kedge.modules.image.room import saying_when_full
from kedge.modules.image.store import ImageRecord, write_record
from kedge.modules.port import ImageClaim

LOOK_S = 1.0
AGAIN_S = 10.0
FIRMWARE_BYTES = 64 << 20
"""More than any firmware file is long; their records name no sizes."""


class Copies:
    """Everything that was handed down, made to lie here as if it had been made here."""

    def __init__(self, head: Head, io: MasterIo, uplink: Uplink, host: Host) -> None:
        self._head, self._io, self._uplink, self._host = head, io, uplink, host
        self._done: dict[str, bytes] = {}
        self._failed: dict[str, tuple[str, type[KedgeError]]] = {}
        self._wished: dict[str, int] = {}

    async def fetch(self, topic: str, subject: str) -> None:
        """Wish for an image and wait until it is here; raises what went wrong meanwhile."""
        name = IMAGE + subject
        self._wished[subject] = self._wished.get(subject, 0) + 1
        self._failed.pop(name, None)
        self._done.pop(name, None)
        self._uplink.report({WISH + subject: pack(self._wished[subject])})
        while name not in self._done or self._refused(name):
            if name in self._failed:
                why, kind = self._failed[name]
                raise kind("image.not_copied", why, where=subject)
            if self._refused(name):
                told = unpack(self._uplink.entries[name])
                kind = NotNow if told.get("later") else KedgeError
                raise kind("image.not_handed", told["error"], where=subject)
            await asyncio.sleep(LOOK_S / 2)

    def _refused(self, name: str) -> bool:
        """Whether the master answers this very wish with an error."""
        told = unpack(self._uplink.entries.get(name))
        subject = name.removeprefix(IMAGE)
        return bool(told and told.get("error") and told.get("wish") == self._wished.get(subject))

    def wish_for(self, wanted: Collection[str]) -> None:
        """Go on wishing for what is wanted here and was copied before, and for nothing else, so that the
        master hands down what a tag is pinned to, and takes back what nobody wants any more."""
        pins = read_pins(self._io.state_dir)
        changes: dict[str, bytes | None] = {}
        for subject in wanted:
            if subject in pins and subject not in self._wished:
                self._wished[subject] = 0
                changes[WISH + subject] = pack(0)
        for subject in self._wished.keys() - wanted:
            del self._wished[subject]
            self._done.pop(IMAGE + subject, None)
            self._failed.pop(IMAGE + subject, None)
            changes[WISH + subject] = None
        if changes:
            self._uplink.report(changes)

    def claims(self) -> list[ImageClaim]:
        """The images that were handed down."""
        found: list[ImageClaim] = []
        for subject, raw in of_kind(self._uplink.entries, IMAGE).items():
            told: Any = unpack(raw)
            record: dict[str, Any] = (told.get("record") if told else None) or {}
            reference, _, arch = subject.rpartition(" ")
            digest = str(record.get("digest", ""))
            found.append(ImageClaim("master", "handed down", reference, arch, digest))
        return found

    async def keep(self) -> None:
        """Copy what is new, for as long as it is not cancelled."""
        while True:
            for kind, place in ((LAYER0, self._place_layer0), (IMAGE, self._place_image)):
                for subject, raw in of_kind(self._uplink.entries, kind).items():
                    if self._done.get(kind + subject) != raw and unpack(raw).get("record"):
                        await self._take(kind + subject, raw, place)
            await asyncio.sleep(LOOK_S)

    async def _take(self, name: str, raw: bytes, place: Callable[[str, Any], Any]) -> None:
        try:
            await place(name, unpack(raw)["record"])
        except (KedgeError, msgspec.ValidationError) as error:
            failed = str(error), NotNow if isinstance(error, NotNow) else KedgeError
            if self._failed.get(name) != failed:
                self._failed[name] = failed
                self._head.journal.write("", "copy", name, after="failed", cause=str(error))
            await asyncio.sleep(LOOK_S)
            return
        self._failed.pop(name, None)
        self._done[name] = raw

    async def _place_layer0(self, name: str, told: Any) -> None:
        record = msgspec.convert(told, layer0.Layer0)
        firmware = [Blob(digest, -1) for digest in record.firmware.values()]
        with work_folder(self._io.state_dir):
            for blob in (record.initramfs, record.squashfs):
                await self._blob(Blob(blob.blob, blob.size_bytes))
            for blob in firmware:
                await self._blob(blob)
            layer0.save_record(self._io.state_dir, record)
        self._head.journal.write("", "copy", name, after=record.digest)

    async def _place_image(self, name: str, told: Any) -> None:
        record = msgspec.convert(told, ImageRecord)
        state_dir = self._io.state_dir
        reference, _, arch = name.removeprefix(IMAGE).rpartition(" ")
        with work_folder(state_dir):  # what comes, or is here, stays until it is named
            for blob in record.blobs():
                await self._blob(blob)
            write_record(state_dir, record)
        if pinned(read_pins(state_dir), reference, arch) != record.digest:
            pin(state_dir, reference, arch, record.digest)
            self._head.journal.write("", "copy", name, after=record.digest)
        for node in list(self._io.nodes().values()):
            if reference_of(node.configured("image.wanted")) == reference:
                await look(node, self._io)

    async def _blob(self, blob: Blob) -> None:
        """Fetch a blob that is not here; raises `KedgeError` where it is not what its name says."""
        state_dir = self._io.state_dir
        here = blob_path(state_dir, blob.blob)
        if blob.size_bytes < 0 and here.exists():
            blob = Blob(blob.blob, here.stat().st_size)
        if use_blob(state_dir, blob):
            return
        common = unpack(self._uplink.entries.get(COMMON))
        told = [unpack(self._uplink.entries.get(NEAR)), common["url"] if common is not None else ""]
        urls = [url for url in told if url]
        if not urls:
            raise KedgeError("copy.no_url", "the master has not said where its blobs are")
        with saying_when_full(state_dir, blob.blob), work_folder(state_dir) as folder:
            part = folder / "blob"
            most_bytes = blob.size_bytes if blob.size_bytes >= 0 else FIRMWARE_BYTES
            for url in urls:
                try:
                    await self._host.fetch(f"{url}/blobs/{blob.blob}", part, most_bytes)
                    break
                except KedgeError:
                    if url == urls[-1]:
                        raise
            await asyncio.to_thread(place_blob, state_dir, part, blob.blob)
