"""What a site refuses: one clear error with its line, and what would be right."""

from __future__ import annotations

import pytest
from site_samples import SMALL, LoadText, Refused

HEAD = """cluster: { name: lab, domain: lab.example }
networks: { provision: { cidr: 10.77.0.0/16, gateway: 10.77.0.1 }, bmc: { cidr: 10.78.0.0/16 } }
"""
NODES = "nodes: { 'n[1-4]': { addresses: { provision: '10.77.1.{number}' } } }\n"
GROUP = "groups: { g: { nodes: 'n[1-4]' } }\n"
BMC = "power.bmc: { protocol: ipmi, credentials: bmc, address: 10.78.0.11 }"

# what is wrong: (lines after HEAD, code, line, words of the error, words of the next step)
CASES = {
    "an unknown top-level key": ("group: {}", "unknown_key", 3, "'group'", "Did you mean groups?"),
    "an unknown variable": (
        "profiles: { p: { power.stat: on } }",
        "unknown_variable", 3, "'power.stat'", "Did you mean power.state?",
    ),
    "an unknown variable, nested": (
        "profiles:\n  p:\n    power:\n      stat: on",
        "unknown_variable", 6, "'power.stat'", "Did you mean power.state?",
    ),
    "an unknown key of a section": (
        "profiles: { p: { extend: q } }", "unknown_key", 3, "'extend'", "Did you mean extends?",
    ),
    "an unknown key of a mapping": (
        "profiles: { p: { power.bmc: { protocl: ipmi } } }",
        "unknown_key", 3, "'protocl'", "Did you mean protocol?",
    ),
    "a value out of the list": (
        "profiles: { p: { power.state: true } }", "bad_value", 3, "power.state", "one of off, on",
    ),
    "a value of the wrong type": (
        "profiles: { p: { boot.retries: many } }", "bad_value", 3, "'many'", "from 0 to 9",
    ),
    "no value": ("profiles: { p: { image.wanted: } }", "no_value", 3, "image.wanted", "a text"),
    "a discovered variable": (
        "profiles: { p: { boot.stage: running } }",
        "not_configurable", 3, "boot.stage", "image.wanted",
    ),
    "a variable given in both spellings": (
        "profiles:\n  p:\n    power.state: on\n    power: { state: on }",
        "duplicate_key", 6, "power.state is given twice, first in line 5", "Remove one",
    ),
    "a key given twice": (
        "profiles:\n  p: {}\n  p: {}", "duplicate_key", 5, "'p' is given twice", "Remove one",
    ),
    "a cycle of profiles": (
        "profiles:\n  a: { extends: b }\n  b: { extends: [c] }\n  c: { extends: a }",
        "profile_cycle", 6, "a -> b -> c -> a", "Remove one",
    ),
    "a profile that extends itself": (
        "profiles: { a: { extends: a } }", "profile_cycle", 3, "a -> a", "Remove one",
    ),
    "an unknown profile": (
        "profiles: { compute: {} }\n" + GROUP.replace("' }", "', profiles: [comptue] }") + NODES,
        "unknown_profile", 4, "'comptue'", "Did you mean compute?",
    ),
    "an unknown profile in extends": (
        "profiles: { compute: {}, b: { extends: computer } }",
        "unknown_profile", 3, "'computer'", "Did you mean compute?",
    ),
    "a typo in a nodeset": (
        "groups: { g: { nodes: 'n[1-' } }", "nodeset.syntax", 3, "'n[1-'", "n[001-040]",
    ),
    "a name that is no host name": (
        "groups: { g: { nodes: 'N_1' } }", "bad_node_name", 3, "'N_1'", "n[001-040]",
    ),
    "far too many nodes": (
        "groups: { g: { nodes: 'n[1-9999999999]' } }", "nodeset.too_large", 3, "names more than", "",
    ),
    "a group without nodes": ("groups: { g: {} }", "no_nodes", 3, "group g needs nodes", ""),
    "a node in two groups": (
        "groups:\n  a: { nodes: 'n[1-3]' }\n  b: { nodes: 'n[2-4]' }\n" + NODES,
        "two_groups", 5, "node n2 is in group b and in group a (and the same for n3)", "one group",
    ),
    "a node of no group": (
        GROUP + NODES + "macs: { n05: 52:54:00:77:00:01 }",
        "unknown_node", 5, "n05 belongs to no group", "Groups hold n[1-4]",
    ),
    "a node written with other zeros": (
        GROUP + NODES.replace("} }\n", "}, n01: {} }\n"),
        "unknown_node", 4, "n01 belongs to no group", "Did you mean n1?",
    ),
    "a parent of its own group": (
        GROUP.replace("' }", "', parents: [n1] }") + NODES, "own_parent", 3, "n1 is in group g", "",
    ),
    "an unknown network": (
        GROUP + NODES.replace("provision:", "provison:"),
        "unknown_network", 4, "'provison'", "Did you mean provision?",
    ),
    "an address outside of its network": (
        GROUP + NODES.replace("10.77.1.", "10.79.1."),
        "bad_address", 4, "10.79.1.1 is outside of network provision (10.77.0.0/16) (and the same "
        "for n[2-4])", "10.77.0.0/16",
    ),
    "the gateway's address": (
        GROUP + NODES.replace("1.{number}", "0.{number}"),
        "bad_address", 4, "10.77.0.1 is the gateway", "",
    ),
    "the network's address": (
        GROUP + NODES.replace("1.{number}", "0.{number-4}"),
        "bad_address", 4, "", "",
    ),
    "no address at all": (
        GROUP, "no_address", 3, "n1 has no address on the provision network", "addresses:",
    ),
    "two nodes with one address": (
        GROUP + NODES.replace("{number}", "{number//2+7}"),
        "duplicate_address", 4, "n3 and n2 have the same addresses.provision: 10.77.1.8", "own",
    ),
    "two nodes with one BMC": (
        GROUP.replace("' }", "', " + BMC + " }") + NODES,
        "duplicate_bmc", 3, "n2 and n1 have the same power.bmc.address: 10.78.0.11", "own",
    ),
    "two nodes with one MAC": (
        GROUP + NODES + "macs:\n  n1: 52:54:00:77:00:01\n  n2: 52-54-00-77-00-01",
        "duplicate_mac", 7, "n2 (provision) and n1 (provision) have the same MAC", "Correct",
    ),
    "a MAC that is none": (
        GROUP + NODES + "macs: { n1: 52:54:00:77:00 }", "bad_mac", 5, "'52:54:00:77:00'", "52:54",
    ),
    "a MAC of many": (
        GROUP + NODES + "macs: { n1: 01:00:5e:00:00:01 }", "bad_mac", 5, "01:00:5e", "",
    ),
    "an unknown name in a pattern": (
        GROUP + NODES.replace("{number}", "{numbr}"),
        "unknown_name", 4, "have no {numbr}", "Did you mean {number}?",
    ),
    "a pattern that is none": (
        GROUP + NODES.replace("{number}", "{number+}"), "pattern", 4, "is not a pattern", "",
    ),
    "a pattern that divides by zero": (
        GROUP + NODES.replace("{number}", "{number//0}"), "pattern", 4, "divides by zero", "",
    ),
    "vars in a circle": (
        GROUP.replace("' }", "', vars: { a: '{b}', b: '{a}' } }") + NODES,
        "vars_cycle", 3, "a, b", "",
    ),
    "a var that hides a built-in name": (
        "profiles: { p: { vars: { name: x } } }", "bad_name", 3, "vars.name", "",
    ),
    "a value that is wrong only after expansion": (
        GROUP.replace("' }", "', boot.retries: '{number*5}' }") + NODES,
        "bad_value", 3, "boot.retries of n2: 10 is out of range (and the same for n[3-4])", "0 to 9",
    ),
    "a mapping that lacks a key": (
        GROUP.replace("' }", "', power.bmc: { protocol: ipmi, credentials: bmc } }") + NODES,
        "bad_value", 3, "key 'address' is missing", "",
    ),
    "a password written out": (
        "profiles: { p: { power.bmc: { password: hunter2 } } }",
        "secret_inline", 3, "power.bmc.password", "secrets.yaml",
    ),
    "credentials written out": (
        "profiles: { p: { power.bmc: { credentials: { username: a, password: hunter2 } } } }",
        "secret_inline", 3, "power.bmc.credentials", "secrets.yaml",
    ),
    "a secret variable": (
        "profiles: { p: { image.key: hunter2 } }", "secret_inline", 3, "image.key", "secrets.yaml",
    ),
    "a secret var": (
        "profiles: { p: { vars: { root_password: hunter2 } } }",
        "secret_inline", 3, "vars.root_password", "",
    ),
    "a secret setting": (
        "settings: { registry: { token: hunter2 } }", "secret_inline", 3, "settings.registry", "",
    ),
    "a secret deep within a value": (
        "profiles: { p: { image.facts: [{ api-key: hunter2 }] } }",
        "secret_inline", 3, "image.facts", "",
    ),
    "an empty hold": (GROUP.replace("' }", "', hold: true }"), "not_a_text", 3, "hold", "ticket"),
    "a host file without a template": (
        "files: { /etc/motd: { mode: 0644 } }", "bad_file", 3, "either template", "",
    ),
    "a template that is not there": (
        "files: { /etc/motd: motd.j2 }", "unknown_template", 3, "'motd.j2'", "",
    ),
    "a path that climbs": (
        "files: { /etc/../shadow: { text: x } }", "bad_path", 3, "/etc/../shadow", "/etc/motd",
    ),
    "a path of the kernel's": (
        "files: { /proc/x: { text: x } }", "bad_path", 3, "/proc/x", "/etc/motd",
    ),
    "an unknown overlay": (
        "profiles: { p: { overlays: [hello] } }", "unknown_overlay", 3, "'hello'", "",
    ),
    "a budget of nothing": ("budgets: { power.inrush: 0 }", "bad_value", 3, "power.inrush", ""),
    "a budget of an unknown pool": (
        "budgets: { power.inrush: { rak: 1 } }", "unknown_pool", 3, "'rak'", "",
    ),
    "a share of a step budget": ("budgets: { power.inrush: 5% }", "bad_value", 3, "whole number", ""),
    "a share of more than all": (
        "budgets: { out_of_service: { cluster: 101% } }", "bad_value", 3, "from 1% to 100%", "",
    ),
    "nodes out of service of an unknown pool": (
        "budgets: { out_of_service: { rak: 2 } }", "unknown_pool", 3, "out_of_service, 'rak'", "",
    ),
    "a list for a mapping": ("profiles: [a]", "not_a_mapping", 3, "profiles", ""),
    "no YAML": ("a: 'x", "bad_yaml", 3, "not YAML", ""),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_refused_with_line_and_remedy(case: str, refused: Refused) -> None:
    text, code, line, what, next_step = CASES[case]
    errors = refused(HEAD + text)
    found = [
        error
        for error in errors
        if error.code.removeprefix("site.") == code and error.where == f"site.yaml:{line}"
    ]
    assert found, [str(error) for error in errors]
    assert what in found[0].what
    assert next_step in found[0].next_step
    assert all("hunter2" not in str(error) for error in errors)
    assert [error.code for error in errors if error.code != found[0].code] == []


def test_both_parties_are_named_with_their_lines(refused: Refused) -> None:
    text = HEAD + "groups:\n  g:\n    nodes: 'n[1-2]'\nnodes:\n"
    text += "  n1: { addresses: { provision: 10.77.1.1 } }\n"
    text += "  n2: { addresses: { provision: 10.77.1.1 } }\n"
    (error,) = refused(text)
    assert error.where == "site.yaml:8"
    assert "n1 has it from node n1 (site.yaml:7)" in error.why


def test_every_problem_is_reported_at_once_in_order(refused: Refused) -> None:
    errors = refused(
        "cluster: { name: lab }\nnetworks:\n  provision: { cidr: 10.77.0.1/16 }\n"
        "groups:\n  g: { nodes: n1, power.state: up, boot.retries: 10 }\nprofiles: { p: 1 }\n"
    )
    assert [(error.code, error.where) for error in errors] == [
        ("site.bad_network", "site.yaml:3"),
        ("site.bad_value", "site.yaml:5"),
        ("site.bad_value", "site.yaml:5"),
        ("site.not_a_mapping", "site.yaml:6"),
    ]
    assert errors[0].next_step == "Did you mean 10.77.0.0/16?"


def test_files_that_are_no_yaml_are_reported_before_what_they_may_hold(refused: Refused) -> None:
    errors = refused("groups: 'a\n\n", {"b.yaml": "cluster: }"})
    assert [(error.code, error.where) for error in errors] == [
        ("site.bad_yaml", "b.yaml:1"),
        ("site.bad_yaml", "site.yaml:3"),
    ]
    assert "begins in line 1" in errors[1].why


def test_what_follows_from_an_error_is_not_told(refused: Refused) -> None:
    text = HEAD + "profiles:\n  a: { extends: b, power.bmc: { credentials: bmc } }\n"
    text += "  b: { extends: a, power.bmc: { protocol: ipmi } }\n"
    text += (
        GROUP.replace("' }", "', profiles: [b], power.bmc.address: '10.78.0.{number}' }") + NODES
    )
    (error,) = refused(text)
    assert error.code == "site.profile_cycle"


def test_a_template_that_many_classes_use_is_told_once(refused: Refused) -> None:
    text = SMALL.replace(
        'nodes: { "n[1-4]"', 'nodes: { n2: { files: { /b: { text: x } } }, "n[1-4]"'
    )
    (error,) = refused(text + "files: { /etc/motd: motd.j2 }", {"motd.j2": "{{ nothing }}"})
    assert error.where == "motd.j2:1"


def test_one_key_in_two_files_names_both(refused: Refused) -> None:
    (error,) = refused(SMALL, {"z.yaml": "groups: {}"})
    assert (error.code, error.where) == ("site.duplicate_key", "z.yaml:1")
    assert "site.yaml:4" in error.what


@pytest.mark.parametrize(
    ("csv", "code", "line"),
    [
        ("n1,provision,52:54:00:77:00:01\n", "bad_csv", 1),
        ("node,network,mac\nn1,provision\n", "bad_csv", 2),
        ("node,network,mac\nn1,prov,52:54:00:77:00:01\n", "unknown_network", 2),
        ("node,network,mac\n\nn9,provision,52:54:00:77:00:01\n", "unknown_node", 3),
        ("node,network,mac\nn1,provision,52:54:00:77:00:zz\n", "bad_mac", 2),
        (
            "node,network,mac\nn1,provision,52:54:00:77:00:01\nn1,provision,52:54:00:77:00:02\n",
            "duplicate_mac",
            3,
        ),
        (
            "node,network,mac\nn1,provision,52:54:00:77:00:01\nn2,provision,52:54:00:77:00:01\n",
            "duplicate_mac",
            3,
        ),
        ("node,network,mac\nn1,provision,\x00\n", "bad_mac", 2),
        ("x" * 200_000, "bad_csv", 1),
    ],
)
def test_faults_of_a_csv_file(csv: str, code: str, line: int, refused: Refused) -> None:
    errors = refused(SMALL + "macs: macs.csv", {"macs.csv": csv})
    assert [(error.code, error.where) for error in errors] == [(f"site.{code}", f"macs.csv:{line}")]


def test_a_missing_csv_file_is_named(refused: Refused) -> None:
    (error,) = refused(SMALL + "macs: mac.csv", {"macs.csv": "node,network,mac"})
    assert error.code == "site.unknown_file"
    assert "Did you mean macs.csv?" in error.next_step


def test_an_empty_folder_says_where_to_begin() -> None:
    from site_samples import VARIABLES

    from kedge.lib.errors import KedgeErrors
    from kedge.site.loading import load

    with pytest.raises(KedgeErrors) as caught:
        load({}, VARIABLES)
    assert caught.value.errors[0].code == "site.empty"


def test_a_thousand_faults_are_cut_short(refused: Refused) -> None:
    lines = "".join(f"  p{i}: {{ power.stat{i}: on }}\n" for i in range(1000))
    errors = refused(HEAD + "profiles:\n" + lines)
    assert len(errors) == 201
    assert errors[-1].code == "site.too_many_errors"


def test_the_small_site_is_good(load_text: LoadText) -> None:
    assert list(load_text().nodes) == ["n1", "n2", "n3", "n4"]


@pytest.mark.parametrize("name", ["../x", "/etc/cron.d/x", "a//b", "a/./b", "a\0b", "x" * 600, ""])
def test_a_file_whose_name_leaves_the_folder_is_refused(refused: Refused, name: str) -> None:
    (error,) = refused(SMALL, {name: "text"})
    assert error.code == "site.file_name" and "relative" in error.next_step
