"""Whatever a site's files hold, loading gives a site or `KedgeErrors`, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kedge.core.kinds import Address, Enum, Integer, ListOf, Struct, Text
from kedge.core.variable import Variable
from kedge.lib.errors import KedgeErrors
from kedge.site.diff import diff, fold
from kedge.site.loading import load
from kedge.site.render import render_files

BMC = Struct(
    {"protocol": Enum(("ipmi", "redfish")), "address": Address(), "credentials": Text()},
    required=frozenset(("address",)),
)
VARIABLES = {
    variable.name: variable
    for variable in (
        Variable("power.bmc", BMC, configured=True),
        Variable("power.state", Enum(("off", "on")), configured=True),
        Variable("boot.args", ListOf(Text()), configured=True),
        Variable("boot.retries", Integer(0, 9), configured=True),
        Variable("boot.stage", Enum(("none", "running"))),
    )
}
EXAMPLE = Path(__file__).parents[2] / "examples/01-lab"
QUICK = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
WORDS = st.sampled_from(
    [
        "cluster",
        "name",
        "domain",
        "networks",
        "provision",
        "cidr",
        "gateway",
        "dns",
        "ntp",
        "profiles",
        "extends",
        "groups",
        "nodes",
        "parents",
        "vars",
        "addresses",
        "files",
        "overlays",
        "hold",
        "macs",
        "template",
        "text",
        "mode",
        "owner",
        "budgets",
        "settings",
        "a",
        "b",
        "c",
        "n1",
        "n2",
        "n[1-3]",
        "n[2-4]",
        "n[1-",
        "on",
        "off",
        "10.77.0.0/16",
        "10.77.1.1",
        "10.77.1.{index}",
        "{rack}",
        "{number+1}",
        "{}",
        "{{",
        "power",
        "power.state",
        "power.bmc",
        "power.bmc.address",
        "protocol",
        "ipmi",
        "address",
        "credentials",
        "boot",
        "boot.args",
        "boot.retries",
        "boot.stage",
        "rack",
        "/etc/motd",
        "0644",
        "root",
        "motd.j2",
        "macs.csv",
        "52:54:00:77:00:01",
        "password",
        "{number//0}",
        "{{node.name}}",
        "{{nope}}",
        "{%",
    ]
)
SCALARS: st.SearchStrategy[Any] = st.one_of(
    WORDS, st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(WORDS, st.text(max_size=4)), inner, max_size=4),
    ),
    max_leaves=12,
)
SECTIONS = st.sampled_from(
    [
        "cluster",
        "networks",
        "profiles",
        "groups",
        "nodes",
        "macs",
        "files",
        "overlays",
        "budgets",
        "settings",
    ]
)


def load_or_refuse(files: dict[str, str]) -> None:
    try:
        site = load(files, VARIABLES)
    except KedgeErrors as errors:
        assert errors.errors
        for error in errors.errors:
            assert error.code and error.what
            json.dumps(error.as_dict())
            assert "\n" not in error.where
        return
    for name in site.nodes:
        render_files(site, name)
        assert set(site.nodes[name].values) <= set(site.origins[name])
    json.dumps([row.as_dict() for row in fold(diff(None, site))])
    assert diff(site, site) == []


@given(st.dictionaries(st.sampled_from(("a.yaml", "b.yml", "macs.csv", "motd.j2")), st.text()))
@QUICK
def test_arbitrary_texts(files: dict[str, str]) -> None:
    load_or_refuse(files)


@given(st.dictionaries(SECTIONS, VALUES, max_size=6), st.text(max_size=40))
@example({"cluster": {"name": "a"}, "networks": {"provision": {"cidr": "::/0"}}}, "")
@example({"cluster": {"name": "a"}, "groups": {"g": {"nodes": "n1", "hold": "{x}"}}}, "")
@QUICK
def test_arbitrary_sections(document: dict[str, Any], csv: str) -> None:
    load_or_refuse({"a.yaml": yaml.safe_dump(document), "macs.csv": csv, "motd.j2": csv})


@given(st.data())
@QUICK
def test_a_good_site_with_one_part_replaced(data: st.DataObject) -> None:
    document = yaml.safe_load((EXAMPLE / "cluster.yaml").read_text().replace(": on", ": 'on'"))
    place = document
    for _ in range(data.draw(st.integers(1, 5))):
        key = data.draw(st.sampled_from(sorted(place)))
        if not isinstance(place[key], dict) or not place[key]:
            break
        place = place[key]
    place[data.draw(st.one_of(st.sampled_from(sorted(place)), WORDS))] = data.draw(VALUES)
    files = {name: (EXAMPLE / name).read_text() for name in ("macs.csv", "motd.j2")}
    load_or_refuse({"a.yaml": yaml.safe_dump(document), **files})


@given(st.data())
@QUICK
def test_a_good_site_with_letters_changed(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(("cluster.yaml", "macs.csv", "motd.j2")))
    files = {path.name: path.read_text() for path in EXAMPLE.iterdir() if path.is_file()}
    text = files[name]
    at = data.draw(st.integers(0, len(text) - 1))
    width = data.draw(st.integers(0, 4))
    files[name] = text[:at] + data.draw(st.text(max_size=4)) + text[at + width :]
    load_or_refuse(files)
