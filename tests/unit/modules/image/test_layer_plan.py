"""What of a layer depends on the layers below, and what is refused as unsafe to unpack."""

from __future__ import annotations

import pytest

from kedge.lib.errors import KedgeError
from kedge.modules.image.layer_plan import LayerPlan, LayerStack, kept_xattrs
from kedge.modules.image.tar_reader import Member


def member(name: str, kind: str = "f", target: str = "", **fields: object) -> Member:
    made = Member(
        name=name.encode(),
        kind=kind,
        mode=0o755,
        uid=0,
        gid=0,
        mtime=7,
        size_bytes=0,
        target=target.encode(),
    )
    return made._replace(**fields)  # type: ignore[arg-type]


def directory(name: str) -> Member:
    return member(name, "d")


BASE = [
    directory("."),
    directory("etc"),
    member("etc/passwd"),
    directory("usr"),
    member("lib", "l", "usr"),
]


def plans(*layers: list[Member]) -> list[LayerPlan]:
    stack = LayerStack()
    return [stack.add(layer, where=f"layer {number}") for number, layer in enumerate(layers)]


def test_layer_that_lists_its_parents_is_the_same_everywhere() -> None:
    top = [directory("etc"), member("etc/new")]
    assert plans(BASE, top)[1].context_key() == ""
    assert plans(top)[0].context_key() == ""


def test_filled_parents_tell_chains_apart() -> None:
    top = [member("etc/new")]
    other = [directory("etc")._replace(mode=0o700)]
    keys = {plans(below, top)[-1].context_key() for below in (BASE, other, [])}
    assert len(keys) == 3 and "" not in keys
    assert plans(other, top)[1].directories[(b"etc",)].mode == 0o700


def test_whiteout_of_nothing_is_dropped() -> None:
    gone = [directory("etc"), member("etc/.wh.passwd")]
    assert plans(BASE, gone)[1].whiteouts == {(b"etc", b"passwd")}
    assert plans(BASE, gone)[1].context_key() == ""
    assert plans(gone)[0].whiteouts == set()
    assert plans(gone)[0].context_key() != ""


def test_whiteout_and_the_same_name_is_opaque() -> None:
    made_again = [member(".wh.etc"), directory("etc"), member("etc/only")]
    for order in (made_again, made_again[::-1]):
        plan = plans(BASE, order)[1]
        assert (plan.whiteouts, plan.opaque) == (set(), {(b"etc",)})


def test_path_through_a_lower_link_is_told_apart() -> None:
    plan = plans(BASE, [directory("usr"), member("lib/x")])[1]
    assert plan.files == {1: [(b"usr", b"x")]}
    assert plan.context_key() != ""


def test_bookkeeping_of_aufs_is_ignored() -> None:
    assert plans(
        [member(".wh..wh.plnk/7.1"), member(".wh..wh.aufs"), directory("etc/.wh..wh.orph")]
    )[0].is_empty


def test_empty_layers_are_seen() -> None:
    assert [plan.is_empty for plan in plans(BASE, [], [directory(".")], [member("x")])] == [
        False,
        True,
        True,
        False,
    ]


REFUSED = {
    "climbs": ([member("a/../../etc/passwd")], "climbs"),
    "climbing hard link": ([member("h", "h", "../../etc/shadow")], "climbs"),
    "hard link to nothing": ([member("h", "h", "nowhere")], "no file of the same layer"),
    "hard link to a lower layer": ([member("h", "h", "etc/passwd")], "no file of the same layer"),
    "hard link to a directory": (
        [directory("d"), member("h", "h", "d")],
        "no file of the same layer",
    ),
    "hard link to the root": ([member("h", "h", "/")], "no file of the same layer"),
    "hard link through a link": ([member("h", "h", "lib/../etc/passwd")], "climbs"),
    "link circle": (
        [member("a", "l", "b"), member("b", "l", "a"), member("a/x")],
        "too many symbolic links",
    ),
    "below a file": ([member("etc/passwd/x")], "which is a file"),
    "device 0:0": ([member("d", "c")], "device 0:0"),
    "whiteout of nothing": ([member(".wh.")], "impossible name"),
    "whiteout of here": ([member("etc/.wh..")], "impossible name"),
    "whiteout of above": ([member("etc/.wh...")], "impossible name"),
    "below a whiteout": ([member("etc/.wh.x/y")], "below a whiteout"),
    "root becomes a file": ([member("./")._replace(kind="l", target=b"/etc")], "root"),
    "zero byte": ([member("a\0b")], "zero byte"),
    "too long a name": ([member("n" * 256)], "too long"),
    "too deep": ([member("/".join("d" * 300))], "too deep"),
    "too long a path": ([member("/".join(["n" * 200] * 30))], "too long"),
    "links that grow": (
        [member("l", "l", "/".join(["n" * 200] * 15)), member("l/" + "/".join(["m" * 200] * 10))],
        "too long",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    layer, why = REFUSED[name]
    with pytest.raises(KedgeError, match=why) as caught:
        plans(BASE, layer)
    assert caught.value.code == "image.layer_refused" and caught.value.where == "layer 1"


def test_nothing_leaves_the_root() -> None:
    stack = LayerStack()
    stack.add([member("out", "l", "/../../.."), member("out/etc/evil"), member("/abs")], where="x")
    assert stack.resolve("/etc/evil") is not None
    assert stack.resolve("/abs") is not None
    assert stack.resolve("/out/out/out/etc/evil") is not None


def test_overlay_marks_of_the_archive_are_dropped() -> None:
    xattrs = tuple(
        (name, b"y")
        for name in (
            b"security.capability",
            b"system.posix_acl_access",
            b"trusted.overlay.opaque",
            b"trusted.overlay.redirect",
            b"trusted.x",
            b"user.overlay.metacopy",
            b"user.x",
        )
    )
    names = [name for name, _ in kept_xattrs(member("f", xattrs=xattrs))]
    assert names == [b"security.capability", b"trusted.x", b"user.x"]
