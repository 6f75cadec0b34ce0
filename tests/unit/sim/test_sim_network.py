"""Links that lose, repeat, delay and are cut in one direction only."""

from __future__ import annotations

from kedge.sim.world.network import Address, Condition, Network
from kedge.sim.world.time import World

HEAD, NODE = ("10.0.0.1", 8471), ("10.0.0.2", 40001)


class Bench:
    def __init__(self) -> None:
        self.world = World(3)
        self.network = Network(self.world)
        self.network.place(HEAD[0], "head")
        self.network.place(NODE[0], "n1")
        self.heard: dict[str, list[tuple[float, bytes]]] = {"head": [], "n1": []}
        self.network.open(HEAD, lambda data, source: self.hear("head", data, source))
        self.network.open(NODE, lambda data, source: self.hear("n1", data, source))

    def hear(self, end: str, data: bytes, source: Address) -> None:
        assert source == (NODE if end == "head" else HEAD)
        self.heard[end].append((self.world.now, data))

    def burst(self, count: int, *, up: bool = True) -> list[bytes]:
        """Send one datagram a second and say what arrives."""
        end = "head" if up else "n1"
        self.heard[end].clear()
        source, target = (NODE, HEAD) if up else (HEAD, NODE)
        for number in range(count):
            data = number.to_bytes(2, "big")
            self.world.after(number, self.network.send, source, target, data)
        self.world.run_until(self.world.now + count + 100.0)
        return [data for _, data in self.heard[end]]


def condition(source: str, target: str, **ill: float) -> Condition:
    return Condition(frozenset({source}), frozenset({target}), **ill)  # type: ignore[arg-type]


def test_all_arrives_once_and_in_order_where_nothing_is_wrong() -> None:
    bench = Bench()
    assert bench.burst(50) == [n.to_bytes(2, "big") for n in range(50)]


def test_a_cut_is_in_one_direction_and_ends() -> None:
    bench = Bench()
    cut = condition("n1", "head", cut=True)
    bench.network.begin(cut)
    assert bench.burst(10) == []
    assert len(bench.burst(10, up=False)) == 10
    assert bench.network.round_trip_s("head", "n1") is None
    bench.network.end(cut)
    assert len(bench.burst(10)) == 10
    assert bench.network.round_trip_s("head", "n1") is not None


def test_loss_repetition_and_lateness_are_shares() -> None:
    bench = Bench()
    lossy = condition("n1", "head", loss=0.3)
    bench.network.begin(lossy)
    assert 40 < len(bench.burst(100)) < 95
    bench.network.end(lossy)
    twice = condition("n1", "head", twice=0.5)
    bench.network.begin(twice)
    found = bench.burst(100)
    assert 110 < len(found) < 190
    assert len(set(found)) == 100
    bench.network.end(twice)
    bench.network.begin(condition("n1", "head", late=0.5, late_s=5.0))
    found = bench.burst(100)
    assert sorted(found) == [n.to_bytes(2, "big") for n in range(100)]
    assert found != sorted(found)


def test_conditions_add_up() -> None:
    bench = Bench()
    bench.network.begin(condition("n1", "head", loss=0.5, delay_s=1.0))
    bench.network.begin(condition("n1", "head", loss=0.5, delay_s=2.0))
    quality = bench.network.quality("n1", "head")
    assert quality.loss == 0.75
    assert quality.delay_s == 3.0
    assert bench.network.quality("head", "n1").loss == 0.0


def test_nobody_at_an_address_is_an_error_for_connections_and_silence_for_datagrams() -> None:
    bench = Bench()
    bench.network.send(NODE, ("10.0.0.99", 1), b"x")
    bench.world.run_until(1.0)
    try:
        bench.network.end_at("10.0.0.99")
    except OSError as error:
        assert "no route" in str(error)
    else:
        raise AssertionError("an address that nobody has was found")
