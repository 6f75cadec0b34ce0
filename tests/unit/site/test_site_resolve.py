"""Precedence, merging, patterns and origins of effective configurations."""

from __future__ import annotations

from pathlib import Path

import pytest
from site_samples import VARIABLES, LoadText

from kedge.site.loading import load
from kedge.site.model import Share

HEAD = """
cluster: { name: lab, domain: lab.example, image.wanted: cluster, boot.retries: 1 }
networks: { provision: { cidr: 10.77.0.0/16, gateway: 10.77.0.1 }, bmc: { cidr: 10.78.0.0/16 } }
"""
EXAMPLE = Path(__file__).parents[3] / "examples/01-lab"


def test_later_layers_win_and_each_value_names_its_origin(load_text: LoadText) -> None:
    site = load_text(
        HEAD
        + """
profiles:
  base: { image.wanted: base, boot.args: [quiet] }
  compute:
    extends: base
    boot.retries: 3
  gpu: { extends: [base], image.wanted: gpu }
groups:
  g: { nodes: "n[1-3]", profiles: [gpu, compute], power.state: off }
nodes:
  n2: { image.wanted: own }
  "n[1-3]": { addresses: { provision: "10.77.1.{number}" }, image.wanted: all, power.state: on }
  n3: { profiles: [base] }
"""
    )
    n1, n2, n3 = (site.nodes[name] for name in ("n1", "n2", "n3"))
    assert n1.values == {
        "image.wanted": "all",
        "boot.retries": 3,
        "boot.args": ["quiet"],
        "power.state": "on",
    }
    assert n2.values["image.wanted"] == "own", "an entry of fewer nodes wins, wherever it stands"
    assert n3.profiles == ("base",)
    assert n3.values["boot.retries"] == 1
    assert str(site.origins["n1"]["boot.retries"]) == "profile compute (site.yaml:9)"
    assert str(site.origins["n2"]["image.wanted"]) == "node n2 (site.yaml:14)"
    assert str(site.origins["n3"]["boot.retries"]) == "cluster (site.yaml:2)"
    assert str(site.origins["n1"]["addresses.provision"]) == "nodes n[1-3] (site.yaml:15)"


def test_what_two_profiles_extend_is_laid_below_both(load_text: LoadText) -> None:
    site = load_text(
        HEAD
        + """
profiles:
  base: { image.wanted: base }
  gpu: { extends: base, image.wanted: gpu }
  compute: { extends: base }
groups: { g: { nodes: n1, profiles: [gpu, compute], addresses: { provision: 10.77.1.1 } } }
"""
    )
    assert site.nodes["n1"].values["image.wanted"] == "gpu"


def test_mappings_merge_key_by_key(load_text: LoadText) -> None:
    site = load_text(
        HEAD
        + """
profiles:
  p: { power.bmc: { protocol: redfish, credentials: bmc, address: "10.78.{rack}.{index}" } }
groups:
  g: { nodes: "n[1-2]", profiles: [p], vars: { rack: 4 }, power: { bmc: { port: 443 } } }
nodes:
  "n[1-2]": { addresses: { provision: "10.77.{rack}.{number}" } }
  n2: { power.bmc.protocol: ipmi }
"""
    )
    assert site.nodes["n2"].values["power.bmc"] == {
        "protocol": "ipmi",
        "credentials": "bmc",
        "address": "10.78.4.2",
        "port": 443,
        "tls": "verify",
    }
    origins = {key: origin.layer for key, origin in site.origins["n2"].items() if "bmc" in key}
    assert origins == {
        "power.bmc": "node n2",
        "power.bmc.protocol": "node n2",
        "power.bmc.credentials": "profile p",
        "power.bmc.address": "profile p",
        "power.bmc.port": "group g",
    }


def test_vars_may_use_other_vars_and_keep_their_numbers(load_text: LoadText) -> None:
    site = load_text(
        HEAD
        + """
groups: { g: { nodes: "n[38-42]", vars: { shelf: "{rack*10}", rack: "{number//40+1}", v: 2026.10 } } }
nodes: { "n[38-42]": { addresses: { provision: "10.77.{rack}.{number%40+2}" } } }
"""
    )
    assert site.nodes["n40"].attributes == {"shelf": 20, "rack": 2, "v": "2026.10"}
    assert site.nodes["n39"].addresses == {"provision": "10.77.1.41"}


def test_a_number_is_a_text_where_a_text_is_wanted(load_text: LoadText) -> None:
    text = HEAD + "groups: { g: { nodes: n1, image.wanted: 2026.10, boot.args: [7, '{number}'],"
    text += " boot.retries: '{number}', addresses: { provision: 10.77.1.1 } } }"
    values = load_text(text).nodes["n1"].values
    assert values == {"image.wanted": "2026.10", "boot.args": ["7", "1"], "boot.retries": 1}


def test_holds_of_cluster_group_and_node(load_text: LoadText) -> None:
    text = HEAD.replace("lab.example,", "lab.example, hold: moving,")
    text += """
groups:
  a: { nodes: "n[1-2]", hold: "rack {rack} is open", vars: { rack: 7 } }
  b: { nodes: n3 }
nodes:
  "n[1-3]": { addresses: { provision: "10.77.1.{number}" } }
  n2: { hold: "broken fan, ticket 4711" }
"""
    holds = {name: node.hold for name, node in load_text(text).nodes.items()}
    assert holds == {"n1": "rack 7 is open", "n2": "broken fan, ticket 4711", "n3": "moving"}


def test_files_of_later_layers_win_and_overlays_come_first(load_text: LoadText) -> None:
    site = load_text(
        HEAD
        + """
files: { /etc/everywhere: { text: "all" }, /etc/motd: { text: "everybody" } }
overlays: { hello: { /etc/motd: motd.j2, /etc/issue: { text: "issue", mode: 0600, owner: 7:8 } } }
profiles: { p: { overlays: [hello], files: { /etc/issue: { text: "own" } } } }
groups: { g: { nodes: "n[1-2]", profiles: [p] } }
nodes:
  "n[1-2]": { addresses: { provision: "10.77.1.{number}" } }
  n2: { files: { /etc/motd: { text: "of n2" } }, overlays: hello }
""",
        {"motd.j2": "hello"},
    )
    one = {file.path: file.template for file in site.files["n1"]}
    two = {file.path: file.template for file in site.files["n2"]}
    assert one == {"/etc/everywhere": "all", "/etc/issue": "own", "/etc/motd": "hello"}
    assert two == {"/etc/everywhere": "all", "/etc/issue": "issue", "/etc/motd": "of n2"}
    issue = next(file for file in site.files["n2"] if file.path == "/etc/issue")
    assert (issue.mode, issue.uid, issue.gid) == (0o600, 7, 8)
    assert site.files["n1"] == tuple(sorted(site.files["n1"], key=lambda file: file.path))


def test_macs_from_csv_and_yaml_are_canonical(load_text: LoadText) -> None:
    text = (
        HEAD + "groups: { g: { nodes: 'n[1-2]', addresses: { provision: '10.77.1.{number}' } } }\n"
    )
    text += "nodes: { n2: { macs: { provision: 52-54-00-77-00-0B } } }\nmacs: macs.csv\n"
    csv = "# a comment\nnode,network,mac\n\nn1, provision, 52:54:00:77:00:0A\n"
    site = load_text(text, {"macs.csv": csv})
    assert site.nodes["n1"].macs == {"provision": "52:54:00:77:00:0a"}
    assert site.nodes["n2"].macs == {"provision": "52:54:00:77:00:0b"}
    assert str(site.origins["n1"]["macs.provision"]) == "macs (macs.csv:4)"


def test_sections_may_lie_in_several_files_and_lab_yaml_is_none_of_them(
    load_text: LoadText,
) -> None:
    files = {
        "groups.yaml": "groups: { g: { nodes: n1, addresses: { provision: 10.77.1.1 } } }",
        "lab.yaml": "machines: {}\nnetworks: {}",
        "templates/x.yaml": "not: ours",
    }
    assert list(load_text(HEAD, files).nodes) == ["n1"]


def test_budgets_groups_and_settings(load_text: LoadText) -> None:
    site = load_text(
        HEAD
        + """
groups:
  g: { nodes: "n[2-3]", parents: [n1], vars: { rack: 1 } }
  heads: { nodes: n1 }
nodes: { "n[1-3]": { addresses: { provision: "10.77.1.{number}" } } }
budgets:
  power.inrush: { rack: 4, cluster: 20 }
  boot.servers: 8
  power.*: { group: 3 }
  out_of_service: { rack: 2, cluster: 10% }
settings: { boot: { port: 8080 } }
"""
    )
    assert site.budgets == {
        "power.inrush": {"rack": 4, "cluster": 20},
        "boot.servers": {"cluster": 8},
        "power.*": {"group": 3},
    }
    assert site.budget_origins["boot.servers"].line == site.budget_origins["power.*"].line - 1
    assert site.out_of_service == {"rack": Share(2), "cluster": Share(10, percent=True)}
    assert [Share(10, percent=True).of(members) for members in (1, 10, 39, 100_000)] == [
        1, 1, 3, 10_000,
    ]  # fmt: skip
    assert site.groups["g"].parents == ("n1",)
    assert site.settings == {"boot": {"port": 8080}}
    assert site.networks["provision"].gateway == "10.77.0.1"


def test_the_first_example_is_a_good_site() -> None:
    files = {
        path.name: path.read_text(encoding="utf-8") for path in EXAMPLE.iterdir() if path.is_file()
    }
    site = load(files, VARIABLES)
    assert sorted(site.nodes) == ["n1", "n2", "n3", "n4"]
    protocols = {name: node.values["power.bmc"]["protocol"] for name, node in site.nodes.items()}  # pyright: ignore
    assert protocols == {"n1": "ipmi", "n2": "redfish", "n3": "ipmi", "n4": "redfish"}
    assert site.nodes["n4"].values["boot.arch"] == "aarch64"
    assert site.nodes["n4"].values["power.bmc"]["address"] == "10.78.0.14"  # pyright: ignore
    assert site.nodes["n1"].macs == {"provision": "52:54:00:77:00:01"}
    assert {network.cidr for network in site.networks.values()} == {"10.77.0.0/16", "10.78.0.0/16"}


@pytest.mark.slow
def test_ten_thousand_nodes_in_ten_lines_load_quickly(load_text: LoadText) -> None:
    import time

    text = """
cluster: { name: big, image.wanted: "registry:5000/{group}:1", power.state: on }
networks: { provision: { cidr: 10.0.0.0/8 } }
groups: { all: { nodes: "n[00001-10000]", vars: { rack: "{number//40}" } } }
nodes: { "n[00001-10000]": { addresses: { provision: "10.1.{rack}.{number%40+1}" } } }
macs: macs.csv
"""
    rows = [f"n{i:05d},provision,52:54:00:77:{i >> 8:02x}:{i & 255:02x}" for i in range(1, 10001)]
    begin = time.process_time()
    site = load_text(text, {"macs.csv": "node,network,mac\n" + "\n".join(rows)})
    used = time.process_time() - begin
    assert site.nodes["n10000"].addresses == {"provision": "10.1.250.1"}
    assert used < 6, f"{used:.1f} s of CPU"
