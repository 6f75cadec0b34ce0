"""What a release takes out of a site's folder, with the lines where they were."""

from __future__ import annotations

from site_samples import VARIABLES

from kedge.site.loading import load
from kedge.site.parts import release_parts
from kedge.site.releasing import Bound, load_release, with_releases

ONE_FILE = """# all in one
cluster: { name: lab }
networks: { provision: { cidr: 10.77.0.0/16 } }
profiles:
  compute:
    image.wanted: r.example/c:1
    files: { /etc/motd: motd.j2 }
groups:
  a: { nodes: "n[1-2]", profiles: [compute], vars: { rack: 1 } }
  b: { nodes: "n[3-4]", profiles: [compute, gpu], parents: [n1] }
nodes:
  "n[1-4]": { addresses: { provision: "10.77.0.{number}" } }
budgets: { boot: { rack: 2 } }
"""
TEXTS = {"cluster.yaml": ONE_FILE, "motd.j2": "x", "README": "y", "rollouts/w.yaml": "stages: []"}


def test_only_what_nodes_run_is_kept_and_stays_in_its_line() -> None:
    parts = release_parts(TEXTS)
    assert set(parts) == {"cluster.yaml", "motd.j2"}
    kept = parts["cluster.yaml"].split("\n")
    assert kept[3:7] == ONE_FILE.split("\n")[3:7] and not any(kept[:3])
    assert "groups" not in parts["cluster.yaml"]


def test_a_file_that_cannot_be_cut_is_kept_whole() -> None:
    flow = '{ cluster: { name: lab }, profiles: { c: { image.wanted: "r.example/c:1" } } }'
    assert release_parts({"a.yaml": flow})["a.yaml"].strip() == flow
    anchored = "cluster: &c { name: lab }\nprofiles: { p: { vars: *c } }\n"
    assert release_parts({"a.yaml": anchored}) == {"a.yaml": anchored}


def test_a_release_need_not_have_what_only_other_groups_need() -> None:
    gpu = ONE_FILE.replace("groups:", "  gpu: { boot.retries: 1 }\ngroups:")
    files = {**TEXTS, "cluster.yaml": gpu}
    site = load(files, VARIABLES)
    bound = Bound("A", release_parts(TEXTS), lambda node: node)
    found = load_release(site, files, bound, {"a"}, VARIABLES)
    assert set(found.nodes) == {"n1", "n2"}
    mixed = with_releases(site, {"A": found}, {"n1": "A"})
    assert str(mixed.origins["n1"]["image.wanted"]) == "release A: profile compute (cluster.yaml:6)"
    assert str(mixed.origins["n2"]["image.wanted"]) == "profile compute (cluster.yaml:6)"
    assert str(mixed.origins["n1"]["vars.rack"]).startswith("group a")
    assert mixed.nodes["n1"].attributes == {"rack": 1} and mixed.budgets == site.budgets
