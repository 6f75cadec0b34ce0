"""Variables like those of the first modules, and a small site."""

from __future__ import annotations

from collections.abc import Callable

from kedge.core.kinds import Address, Anything, Enum, Integer, ListOf, Struct, Text
from kedge.core.variable import Variable
from kedge.lib.errors import KedgeError
from kedge.site.model import Site

BMC = Struct(
    {
        "protocol": Enum(("redfish", "ipmi")),
        "address": Address(),
        "port": Integer(1, 65535),
        "credentials": Text(r"[a-z][a-z0-9-]*", "bmc"),
        "system": Text(),
        "tls": Text(),
    },
    required=frozenset(("protocol", "address", "credentials")),
    defaults={"tls": "verify"},
)
VARIABLES = {
    variable.name: variable
    for variable in (
        Variable("power.bmc", BMC, configured=True),
        Variable("power.state", Enum(("off", "on")), configured=True),
        Variable("boot.arch", Enum(("x86_64", "aarch64")), configured=True),
        Variable("boot.args", ListOf(Text()), configured=True),
        Variable("boot.retries", Integer(0, 9), configured=True),
        Variable("boot.stage", Enum(("none", "layer0", "running"))),
        Variable("image.wanted", Text(), configured=True),
        Variable("image.facts", Anything(), configured=True),
        Variable("image.key", Text(), configured=True, secret=True),
    )
}
SMALL = """
cluster: { name: lab, domain: lab.example }
networks: { provision: { cidr: 10.77.0.0/16, gateway: 10.77.0.1 } }
groups: { g: { nodes: "n[1-4]" } }
nodes: { "n[1-4]": { addresses: { provision: "10.77.1.{number}" } } }
"""

LoadText = Callable[..., Site]
Refused = Callable[..., list[KedgeError]]
