"""Groups of the site in nodesets, as ClusterShell has them."""

from __future__ import annotations

import pytest

from kedge.lib.errors import KedgeError
from kedge.lib.nodeset import expand

GROUPS = {"rack1": ("n1", "n2", "n3"), "rack2": ("n4", "login1")}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("@rack1", ["n1", "n2", "n3"]),
        ("@rack1!n2", ["n1", "n3"]),
        ("n[1-9]&@rack2", ["n4"]),
        ("n9,@rack[1-2]", ["login1", "n1", "n2", "n3", "n4", "n9"]),
        ("@*", ["login1", "n1", "n2", "n3", "n4"]),
        ("n[1-2]", ["n1", "n2"]),
    ],
)
def test_a_group_stands_for_its_nodes(text: str, names: list[str]) -> None:
    assert sorted(expand(text, groups=GROUPS)) == names


def test_a_group_that_there_is_not_is_refused_and_never_left_out() -> None:
    with pytest.raises(KedgeError) as caught:
        expand("@rack1,@rakc2", groups=GROUPS)
    assert caught.value.code == "nodeset.group" and "@rakc2" in caught.value.what
    assert caught.value.next_step == "Known groups: rack1, rack2"
    with pytest.raises(KedgeError):
        expand("@other:rack1", groups=GROUPS)
