"""What ``kedge init`` writes: the commented configuration file and a first site."""

from __future__ import annotations

from pathlib import Path

CONFIGURATION = """\
# The configuration of this head (the machine that runs kedge serve). It says how Kedge itself runs;
# what the cluster should be is written in the site's folder and applied with kedge apply.
# Every key is optional; a line behind '#' shows the default. After a change: systemctl restart kedge

# Where Kedge keeps its database, images, boot files, secrets and the API's token.
# It needs some GB for each image. Made by kedge init.
state_dir: @STATE@

# How programs and the kedge command reach Kedge. Everybody who asks needs the token in
# <state_dir>/api.token.
api:
  # socket: <state_dir>/api.sock      # a Unix socket that only its owner can open
  # listen: 127.0.0.1:8470            # also on TCP, without TLS: nothing, unless it is set here

# What this machine is in the tree: the master (the root), or a sub-master that acts for groups of nodes
# which name it among their parents.
@ROLE@

tree:
  # lease_s: 60                       # master: how long an owner of a group outlives its silence
  @NAME@                         # sub-master: its name, else as the join file says
  @JOIN@          # sub-master: what kedge submaster add wrote on the master
  # masters: ["10.77.0.1:8471"]       # sub-master: where the master is, else as the join file says

# How nodes' agents report: authenticated, encrypted datagrams over UDP.
sync:
  # address: 0.0.0.0                  # listen on this address
  # port: 8471
  # heartbeat_s: 10                   # how often a node that has nothing to say shows that it lives
  # advertise: 10.77.0.1              # the address that nodes are told, where it is another one

# How long the log of all that happened (kedge events) is kept; what is older, or too much, is deleted.
events:
  # keep_days: 400
  # keep_mib: 2048

# How nodes boot: DHCP, TFTP and HTTP on the provision network.
boot:
  # network: provision                # the network of the site that nodes boot from
  @INTERFACE@                   # found by the network's address, unless it is set here
  @ADDRESS@               # the head's own address there; found, unless it is set here
  # http_port: 8080                   # boot files
  # dhcp: kea                         # kea: Kedge runs it; external: the site does; off
  # dhcp_socket: /run/kea/kea4.sock   # control socket of an external Kea
  # tftp: true                        # for firmware that cannot boot over HTTP
  # router_advertisements: true       # saves iPXE a wait of 16 s; announces no router
  # strangers: auto                   # addresses for machines in no file: auto, none, first-last
  # lease_s: 86400
  # parent: 10.77.0.1:8471            # where agents join; the head's address, unless it is set here

# Where images come from. Registries with a certificate that the system trusts need no entry.
image:
  # registries:
  #   registry.example:5000:
  #     credentials: registry         # the name of a secret: kedge secret set registry
  #     ca: /etc/kedge/registry-ca.pem
  #     insecure: false               # true: plain HTTP

# Switching nodes on and off through their BMCs; credentials are secrets: kedge secret set bmc
power: {}

# Sections of other modules, by their names: the scheduler's, and those of modules that are not Kedge's.
modules:
  # scheduler: { driver: slurm, url: "http://slurm.example:6820", secret: slurm }
"""

SITE = """\
# A first site. All YAML files of this folder are one document; keep it under git.
#   kedge diff  @FOLDER@     what would change
#   kedge apply @FOLDER@     change it
cluster:
  name: first
  domain: cluster.example

networks:
  provision:                        # what nodes boot from; every node needs an address on it
    cidr: @CIDR@
    gateway: @ADDRESS@

profiles:
  compute:
    image.wanted: registry.example:5000/compute:1   # an OCI image with a kernel in it
    power.state: on
    power.bmc:
      protocol: redfish             # or ipmi
      credentials: bmc              # the name of a secret: kedge secret set bmc

# Groups say which nodes there are. Take the '#' away when the rest fits your machines.
# groups:
#   rack1:
#     nodes: n[1-4]
#     profiles: [compute]

# nodes:
#   n[1-4]:                         # patterns: a thousand nodes take no more lines
#     addresses: { provision: "10.77.1.{number}" }
#     power.bmc.address: "10.78.1.{number}"

# macs: macs.csv                    # what no pattern can say
"""

MACS = """\
node,mac
# n1,52:54:00:77:00:01
"""


def configuration(
    state_dir: Path, interface: str = "", address: str = "", join: Path | None = None
) -> str:
    """The head's configuration file; with ``join`` a sub-master's."""
    role = "role: sub-master" if join else "# role: master"
    joining = f"join: {join}" if join else "# join: /etc/kedge/sm1.join"
    given = f"interface: {interface}" if interface else "# interface: eth1"
    own = f"address: {address}" if address else "# address: 10.77.0.1"
    text = CONFIGURATION.replace("@STATE@", str(state_dir)).replace("@ROLE@", role)
    text = text.replace("@JOIN@", joining).replace("@NAME@", "# name: sm1")
    return text.replace("@INTERFACE@", given).replace("@ADDRESS@", own)


def unit(command: Path, config: Path) -> str:
    """The systemd unit that runs ``command`` with ``config``."""
    text = Path(__file__).with_name("kedge.service").read_text()
    serve = f"{command} --config {config} serve"
    return text.replace("/usr/bin/kedge serve", serve)


def first_site(folder: Path, address: str = "", cidr: str = "") -> dict[str, str]:
    """The files of a first site that names no node yet."""
    text = SITE.replace("@FOLDER@", str(folder)).replace("@CIDR@", cidr or "10.77.0.0/16")
    return {"site.yaml": text.replace("@ADDRESS@", address or "10.77.0.1"), "macs.csv": MACS}
