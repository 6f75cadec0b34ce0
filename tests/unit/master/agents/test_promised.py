"""Blobs that somebody may still fetch: those of boot scripts that are out, and of orders to agents."""

from __future__ import annotations

from pathlib import Path

from kedge.master.agents.permits import Permits
from kedge.master.persistence.late_writes import LateWrites
from kedge.stores.sqlite import SqliteStore
from small_master import small_master

KERNEL, LAYER0, LAYER = ("sha256:" + digit * 64 for digit in "123")


def permits(store: SqliteStore) -> Permits:
    return Permits(LateWrites(store, {}), 1, bytes)


def test_a_script_that_is_out_promises_its_blobs_until_its_permit_ends() -> None:
    store = SqliteStore(":memory:")
    made = permits(store)
    made.grant("n1")
    assert list(made.promised()) == []  # its script is made when it is asked for
    taken = made.take("n1", [KERNEL, LAYER0])
    assert taken is not None and made.take("n1", [LAYER]) is None
    again = permits(store)  # the process was started anew
    assert list(made.promised()) == list(again.promised()) == [KERNEL, LAYER0]
    again.grant("n1")  # another boot: what the earlier script named is worth nothing
    assert list(again.promised()) == []
    again.take("n1", [LAYER])
    again.end("n1")
    assert list(again.promised()) == list(permits(store).promised()) == []


def test_a_permit_that_an_earlier_kedge_kept_is_read() -> None:
    store = SqliteStore(":memory:")
    store.put("permit", "n1", {"term": 1, "counter": 1, "token": "AAAA", "given": True})
    assert list(permits(store).promised()) == []


async def test_orders_promise_what_they_name(tmp_path: Path) -> None:
    async with small_master(tmp_path) as master:
        order = f'{{"args": {{"layers": [{{"blob": "{LAYER}"}}], "kernel": "{KERNEL}"}}}}'
        master.link.put("n1", "order/image.activate", order.encode())
        master.link.put("n1", "other", LAYER0.encode())
        assert master.io.promised_blobs() == {LAYER, KERNEL}
        master.link.put("n1", "order/image.activate", None)
        assert master.io.promised_blobs() == frozenset()
