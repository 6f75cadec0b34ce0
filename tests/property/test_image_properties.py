"""Properties of the image module's parsers: hostile input is refused in our words and never harms."""

from __future__ import annotations

import io
import tarfile

from hypothesis import given, settings
from hypothesis import strategies as st

from kedge.lib.errors import KedgeError
from kedge.modules.image.layer_plan import LayerPlan, LayerStack
from kedge.modules.image.reference import parse_reference, parse_source
from kedge.modules.image.tar_reader import Member, TarReader
from kedge.modules.image.tar_rewriter import header, write_end, write_files, write_marks

NAMES = st.sampled_from(
    [b"a", b"b", b"c", b".wh.a", b".wh.b", b".wh..wh.opq", b".wh..wh.plnk", b"..", b".", b""]
)
PATHS = st.lists(NAMES, min_size=1, max_size=5).map(b"/".join)
MEMBERS = st.builds(
    Member,
    name=PATHS,
    kind=st.sampled_from("ffdddlhcbp"),
    mode=st.integers(0, 0o7777),
    uid=st.integers(0, 0xFFFFFFFF),
    gid=st.integers(0, 0xFFFFFFFF),
    mtime=st.integers(0, 0xFFFFFFFF),
    size_bytes=st.just(0),
    target=PATHS,
    device=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    xattrs=st.just(()),
)


def read_all(archive: bytes) -> list[Member]:
    return list(TarReader(io.BytesIO(archive), where="x", max_members=10_000, max_bytes=1 << 30))


@given(st.text(max_size=300))
def test_reference_is_parsed_back_or_refused(text: str) -> None:
    for parse in (parse_reference, parse_source):
        try:
            parsed = parse(text)
        except KedgeError as error:
            assert error.code == "image.bad_reference" and error.next_step
        else:
            assert parse(str(parsed)) == parsed


@given(
    st.from_regex(
        r"[a-z]{1,5}\.[a-z]{2}(:[1-9][0-9]{1,3})?/[a-z]{1,8}(/[a-z0-9]{1,5})?:[\w.]{1,8}",
        fullmatch=True,
    ).filter(str.isascii)
)
def test_good_references_are_taken(text: str) -> None:
    try:
        assert str(parse_reference(text)) == text
    except KedgeError:
        assert text.rsplit(":", 1)[1].startswith(".")


@given(st.binary(max_size=4096))
def test_any_bytes_are_read_or_refused(archive: bytes) -> None:
    try:
        read_all(archive)
    except KedgeError as error:
        assert error.code == "image.layer_refused"


@given(st.lists(MEMBERS, max_size=6), st.data())
def test_damaged_archives_are_read_or_refused(members: list[Member], data: st.DataObject) -> None:
    archive = bytearray(b"".join(header(member) for member in members) + bytes(1024))
    for _ in range(data.draw(st.integers(0, 8))):
        archive[data.draw(st.integers(0, len(archive) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(archive)))
    try:
        read_all(bytes(archive[:cut]))
    except KedgeError as error:
        assert error.code == "image.layer_refused"


@given(
    MEMBERS,
    st.binary(min_size=1, max_size=300).filter(
        lambda name: b"\0" not in name and not name.endswith(b"/")
    ),
    st.binary(max_size=300).filter(lambda name: b"\0" not in name),
    st.lists(
        st.tuples(st.sampled_from([b"user.a", b"security.b"]), st.binary(max_size=500)), max_size=2
    ),
)
def test_what_the_rewriter_writes_is_what_tarfile_reads(
    member: Member, name: bytes, target: bytes, xattrs: list[tuple[bytes, bytes]]
) -> None:
    wanted = member._replace(name=name, target=target, xattrs=tuple(sorted(dict(xattrs).items())))
    with tarfile.open(
        fileobj=io.BytesIO(header(wanted) + bytes(1024)), errors="surrogateescape"
    ) as archive:
        found = archive.getmembers()[0]
    assert found.name.encode("utf-8", "surrogateescape") == name
    assert found.linkname.encode("utf-8", "surrogateescape") == target
    assert (found.mode, found.uid, found.gid) == (wanted.mode, wanted.uid, wanted.gid)
    assert found.mtime == wanted.mtime
    (ours,) = read_all(header(wanted) + bytes(1024))
    assert ours.name == name and ours.xattrs == wanted.xattrs
    assert (ours.target == target) or ours.kind not in "hl"


@settings(max_examples=150)
@given(st.lists(st.lists(MEMBERS, max_size=8), min_size=1, max_size=4))
def test_plans_are_sound(layers: list[list[Member]]) -> None:
    """Whatever the layers: each plan can be written, parents come first, and no name leaves the root or
    means something to overlayfs that was not meant."""
    stack = LayerStack()
    for number, members in enumerate(layers):
        try:
            plan = stack.add(members, where="x")
        except KedgeError as error:
            assert error.code == "image.layer_refused"
            return
        check_archive(members, plan, number)


def check_archive(members: list[Member], plan: LayerPlan, number: int) -> None:
    source = b"".join(header(member) for member in members) + bytes(1024)
    out = bytearray()
    write_marks(plan, out.extend)
    reader = TarReader(io.BytesIO(source), where="x", max_members=100, max_bytes=1 << 20)
    write_files(reader, plan, out.extend)
    write_end(out.extend)
    seen: dict[bytes, str] = {b"": "d"}
    for member in read_all(bytes(out)):
        path = member.name.rstrip(b"/")
        parent, _, name = path.rpartition(b"/")
        assert seen.get(parent) == "d", (path, "comes before its directory")
        assert path not in seen
        assert not path.startswith(b"/") and b".." not in path.split(b"/")
        assert not name.startswith(b".wh.")
        if member.kind == "h":
            assert seen.get(member.target) not in (None, "d")
        whiteout = member.kind == "c" and member.device == (0, 0)
        assert whiteout == (tuple(path.split(b"/")) in plan.whiteouts)
        assert not (whiteout and number == 0), "nothing lies below the lowest layer"
        seen[path] = member.kind
