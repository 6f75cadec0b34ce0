"""Values and holds that a person set by command."""

from __future__ import annotations

import pytest
from site_samples import SMALL, VARIABLES, LoadText

from kedge.core.kinds import Value
from kedge.lib.errors import KedgeError, KedgeErrors
from kedge.site.diff import diff, fold
from kedge.site.model import Site
from kedge.site.overrides import Override, check_override, with_overrides

TEXT = SMALL.replace(
    'nodes: "n[1-4]" }',
    'nodes: "n[1-4]", image.wanted: old, '
    "power.bmc: { protocol: ipmi, credentials: bmc, address: '10.78.0.{number}' } }",
)


@pytest.fixture
def site(load_text: LoadText) -> Site:
    return load_text(TEXT)


def test_values_and_holds_lie_on_top_with_their_origin(site: Site) -> None:
    over = with_overrides(
        site,
        {
            "n1": {
                "image.wanted": Override("new", "alice", 1_795_000_000.0),
                "power.state": "off",
            }
        },
        {"n2": Override("broken fan", "bob", 1_795_000_060.0), "n3": "no name"},
        VARIABLES,
    )
    assert over.nodes["n1"].values["image.wanted"] == "new"
    assert str(over.origins["n1"]["image.wanted"]) == "set by alice"
    assert over.origins["n1"]["image.wanted"].at == 1_795_000_000.0
    assert str(over.origins["n1"]["power.state"]) == "set"
    assert over.nodes["n2"].hold == "broken fan"
    assert str(over.origins["n2"]["hold"]) == "set by bob"
    assert over.nodes["n3"].hold == "no name"
    assert over.nodes["n4"] is site.nodes["n4"]
    assert site.nodes["n1"].values["image.wanted"] == "old", "the site itself is not changed"
    assert [row.name for row in fold(diff(site, over))] == ["n1", "n1", "n2", "n3"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [("power.bmc.address", "10.78.0.99"), ("power.bmc", {"address": "10.78.0.99"})],
)
def test_one_key_of_a_mapping_leaves_the_others(site: Site, variable: str, value: Value) -> None:
    over = with_overrides(site, {"n1": {variable: value}}, {}, VARIABLES)
    assert over.nodes["n1"].values["power.bmc"] == {
        "protocol": "ipmi",
        "credentials": "bmc",
        "address": "10.78.0.99",
        "tls": "verify",
    }
    assert str(over.origins["n1"][variable]) == "set"


def test_what_is_left_of_removed_nodes_is_passed_over(site: Site) -> None:
    assert with_overrides(site, {"n9": {"nonsense": 1}}, {"n8": "x"}, VARIABLES).nodes == site.nodes


@pytest.mark.parametrize(
    ("variable", "value", "code"),
    [
        ("power.stat", "on", "site.unknown_variable"),
        ("boot.stage", "running", "site.not_configurable"),
        ("power.state", "up", "site.bad_value"),
        ("power.bmc.protocl", "ipmi", "site.bad_value"),
        ("power.bmc.password", "hunter2", "site.secret_inline"),
        ("power.bmc", {"password": "hunter2"}, "site.secret_inline"),
        ("image.key", "hunter2", "site.secret_inline"),
        ("power.bmc.address", "10.78.0.2", "site.duplicate_bmc"),
        ("image.wanted.tag", "x", "site.bad_value"),
    ],
)
def test_what_is_refused(site: Site, variable: str, value: Value, code: str) -> None:
    with pytest.raises(KedgeErrors) as caught:
        with_overrides(site, {"n1": {variable: value}}, {}, VARIABLES)
    assert [error.code for error in caught.value.errors] == [code]
    assert "hunter2" not in str(caught.value)


def test_a_command_is_checked_before_it_is_kept(site: Site) -> None:
    assert check_override(site, "n1", "power.state", "off", VARIABLES) == "off"
    with pytest.raises(KedgeError) as caught:
        check_override(site, "n01", "power.state", "off", VARIABLES)
    assert caught.value.code == "site.unknown_node"
    assert "Did you mean n1?" in caught.value.next_step


def test_of_a_mapping_only_the_given_keys_are_kept(site: Site) -> None:
    kept = check_override(site, "n1", "power.bmc.address", "10.78.0.99", VARIABLES)
    assert kept == "10.78.0.99"
    whole = check_override(site, "n1", "power.bmc", {"port": 443}, VARIABLES)
    assert whole == {"port": 443}
    over = with_overrides(
        site, {"n1": {"power.bmc.address": kept, "power.bmc": whole}}, {}, VARIABLES
    )
    assert over.nodes["n1"].values["power.bmc"] == {
        "protocol": "ipmi",
        "credentials": "bmc",
        "address": "10.78.0.99",
        "port": 443,
        "tls": "verify",
    }
