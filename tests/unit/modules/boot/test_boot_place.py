"""Where the head stands, which addresses strangers get, and what wrong settings say."""

from __future__ import annotations

import ipaddress

import pytest

from fakes import FakeIo
from kedge.lib.errors import KedgeError
from kedge.modules.boot.place import (
    BootSettings,
    Place,
    boot_settings,
    find_place,
    strangers_pool,
)
from kedge.site.model import Cluster, Network, Site


def place(cidr: str = "10.77.0.0/16", **settings: object) -> Place:
    network = ipaddress.IPv4Network(cidr)
    first = str(network.network_address + 1)
    given = BootSettings(**settings)  # type: ignore[arg-type]
    return Place(network, Network("provision", cidr, gateway=first), first, "prov", given)


def test_strangers_get_the_highest_free_run() -> None:
    assert strangers_pool(place(), []) == ("10.77.255.240", "10.77.255.254")
    assert strangers_pool(place(), ["10.77.255.250"]) == ("10.77.255.235", "10.77.255.249")


def test_a_small_or_full_network_spares_none() -> None:
    assert strangers_pool(place("10.77.0.0/26"), []) is None
    taken = [f"10.77.0.{i}" for i in range(2, 255, 10)]
    assert strangers_pool(place("10.77.0.0/24"), taken) is None
    assert strangers_pool(place(strangers="none"), []) is None


@pytest.mark.parametrize("written", ["10.77.1.1", "10.77.1.9-10.77.1.1x", "10.78.0.1-10.78.0.9",
                                     "10.77.0.1-10.77.0.9", "10.77.5.1-10.77.5.9"])  # fmt: skip
def test_a_pool_that_cannot_be_is_refused(written: str) -> None:
    with pytest.raises(KedgeError) as caught:
        strangers_pool(place(strangers=written), ["10.77.5.5"])
    assert caught.value.code == "boot.settings" and caught.value.next_step


def test_a_written_pool_is_taken() -> None:
    pool = strangers_pool(place(strangers="10.77.9.1 - 10.77.9.20"), ["10.77.5.5"])
    assert pool == ("10.77.9.1", "10.77.9.20")


def test_settings_are_checked() -> None:
    good = FakeIo(settings={"boot": {"dhcp": "off", "http_port": 80}})
    assert boot_settings(good) == BootSettings(dhcp="off", http_port=80)
    for section in ({"dchp": "off"}, {"dhcp": "dnsmasq"}, {"http_port": "80"}):
        with pytest.raises(KedgeError) as caught:
            boot_settings(FakeIo(settings={"boot": section}))  # type: ignore[dict-item]
        assert caught.value.code == "boot.settings" and "http_port" in caught.value.next_step


def test_a_site_without_the_network_is_said() -> None:
    with pytest.raises(KedgeError) as caught:
        find_place(Site(Cluster("c")), BootSettings())
    assert caught.value.code == "boot.no_network"


def test_written_address_and_interface_are_taken() -> None:
    site = Site(Cluster("c"), {"provision": Network("provision", "10.99.0.0/16")})
    found = find_place(site, BootSettings(address="10.99.0.7", interface="eth7"))
    assert (found.url, found.parent) == ("http://10.99.0.7:8080", "10.99.0.7:8471")
    with pytest.raises(KedgeError) as caught:
        find_place(site, BootSettings())
    assert caught.value.code == "boot.no_address"
