"""Differences between two sites, per node and folded."""

from __future__ import annotations

import json

from site_samples import SMALL, LoadText

from kedge.site.diff import Change, diff, fold

MORE = SMALL.replace(
    'nodes: "n[1-4]" }', 'nodes: "n[1-4]", image.wanted: "i:1", vars: { rack: 1 } }'
)


def rows(changes: list[Change]) -> list[tuple[object, ...]]:
    return [(c.kind, c.name, c.change, c.field, c.before, c.after) for c in changes]


def test_no_difference_is_nothing(load_text: LoadText) -> None:
    assert diff(load_text(MORE), load_text(MORE)) == []


def test_a_changed_value_is_one_row_for_all_its_nodes(load_text: LoadText) -> None:
    after = load_text(MORE.replace("i:1", "i:2"))
    changes = diff(load_text(MORE), after)
    assert len(changes) == 4
    (row,) = fold(changes)
    assert row == Change(
        "node", "n[1-4]", "changed", "image.wanted", "i:1", "i:2", "group g (site.yaml:4)"
    )
    assert json.loads(json.dumps(row.as_dict()))["origin"] == "group g (site.yaml:4)"


def test_added_and_removed_fields(load_text: LoadText) -> None:
    bare, full = load_text(SMALL), load_text(MORE)
    assert rows(fold(diff(bare, full))) == [
        ("node", "n[1-4]", "added", "image.wanted", None, "i:1"),
        ("node", "n[1-4]", "added", "vars.rack", None, 1),
    ]
    assert [row.change for row in fold(diff(full, bare))] == ["removed", "removed"]


def test_nodes_groups_and_networks_that_come_and_go(load_text: LoadText) -> None:
    fewer = load_text(SMALL.replace("n[1-4]", "n[1-3]"))
    more = load_text(
        SMALL.replace("n[1-4]", "n[1-3]").replace("groups: {", "groups: { h: { nodes: n9 },")
        .replace("nodes: { \"", "nodes: { n9: { addresses: { provision: 10.77.9.9 } }, \"")
        .replace("networks: {", "networks: { bmc: { cidr: 10.78.0.0/16 },")
    )  # fmt: skip
    forth, back = rows(diff(fewer, more)), rows(diff(more, fewer))
    assert ("network", "bmc", "added", "", None, None) in forth
    assert ("network", "bmc", "added", "cidr", None, "10.78.0.0/16") in forth
    assert ("group", "h", "added", "nodes", None, "n9") in forth
    assert ("node", "n9", "added", "", None, None) in forth
    assert ("node", "n9", "added", "addresses.provision", None, "10.77.9.9") in forth
    assert back == [
        ("network", "bmc", "removed", "", None, None),
        ("group", "h", "removed", "", None, None),
        ("node", "n9", "removed", "", None, None),
    ]


def test_the_first_site_adds_everything_and_series_are_one_row(load_text: LoadText) -> None:
    many = SMALL.replace("n[1-4]", "n[1-40]")
    folded = fold(diff(None, load_text(many)))
    nodes = [row for row in folded if row.kind == "node"]
    assert [(row.name, row.field, row.varied) for row in nodes] == [
        ("n[1-40]", "", 0),
        ("n[1-40]", "group", 0),
        ("n[1-40]", "addresses.provision", 40),
    ]
    assert nodes[-1].after == "10.77.1.1 ... 10.77.1.40"
    assert nodes[-1].before is None


def test_holds_host_files_and_keys_of_mappings(load_text: LoadText) -> None:
    bmc = "power.bmc: { protocol: ipmi, credentials: a, address: '10.78.0.{number}' }"
    before = load_text(
        SMALL.replace('nodes: "n[1-4]" }', 'nodes: "n[1-4]", ' + bmc + " }")
        + "files: { /etc/x: { text: old } }"
    )
    after = load_text(
        SMALL.replace('nodes: "n[1-4]" }', 'nodes: "n[1-4]", hold: fan, ' + bmc + " }").replace(
            "credentials: a", "credentials: b"
        )
        + "files: { /etc/x: { text: new } }"
    )
    changes = [row for row in fold(diff(before, after)) if row.kind == "node"]
    assert [row.field for row in changes] == ["power.bmc.credentials", "hold", "files./etc/x"]
    assert changes[0].origin == "group g (site.yaml:4)"


def test_cluster_budgets_and_settings(load_text: LoadText) -> None:
    after = load_text(
        SMALL.replace("lab.example", "other.example")
        + "budgets: { power.inrush: 4, out_of_service: { cluster: 50% } }\nsettings: { boot: { port: 80 } }"
    )
    assert rows(diff(load_text(), after)) == [
        ("cluster", "cluster", "changed", "domain", "lab.example", "other.example"),
        ("budget", "power.inrush", "added", "", None, None),
        ("budget", "power.inrush", "added", "cluster", None, 4),
        ("budget", "out_of_service", "added", "", None, None),
        ("budget", "out_of_service", "added", "cluster", None, "50%"),
        ("setting", "boot", "added", "", None, None),
        ("setting", "boot", "added", "value", None, {"port": 80}),
    ]


def test_values_that_nodes_share_stay_rows_beside_a_series(load_text: LoadText) -> None:
    text = SMALL.replace("n[1-4]", "n[1-12]")
    csv = "node,network,mac\n" + "".join(
        f"n{i},provision,52:54:00:00:00:{i:02x}\n" for i in range(1, 13)
    )
    own = text.replace("nodes: { ", "nodes: { 'n[1-6]': { image.wanted: a }, 'n[7-12]': ")
    own = own.replace("'n[7-12]': ", "'n[7-12]': { image.wanted: b }, ") + "macs: macs.csv"
    folded = fold(diff(load_text(text), load_text(own, {"macs.csv": csv})))
    assert [(row.name, row.field, row.after, row.varied) for row in folded] == [
        ("n[1-6]", "image.wanted", "a", 0),
        ("n[7-12]", "image.wanted", "b", 0),
        ("n[1-12]", "macs.provision", "52:54:00:00:00:01 ... 52:54:00:00:00:0c", 12),
    ]


def test_very_many_values_of_one_field_are_one_row(load_text: LoadText) -> None:
    text = SMALL.replace("n[1-4]", "n[1-80]")
    racks = text.replace('n[1-80]" }', 'n[1-80]", vars: { rack: "{number//2}" } }')
    (row,) = fold(diff(load_text(text), load_text(racks)))
    assert (row.name, row.after, row.varied) == ("n[1-80]", "0 ... 40", 41)
