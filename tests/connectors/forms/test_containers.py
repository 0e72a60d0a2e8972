"""What a file is packed in is opened as far as it can be trusted, and refused beyond."""

from __future__ import annotations

import gzip
import io
import itertools
import random
import tracemalloc
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.connectors.errors import FileRefused
from chalicelib.connectors.forms.containers import MAX_MEMBERS, opened
from chalicelib.connectors.forms.model import DelimitedFormat
from tests.connectors.forms.packing import packed, zipped


def form(**members: Any) -> DelimitedFormat:
    return DelimitedFormat.model_validate({"kind": "delimited", "encoding": "utf-8", "delimiter": ","} | members)


class Slow:
    """A source that gives less than it is asked for, as a connection does; it cannot seek."""

    def __init__(self, content: bytes, most: int) -> None:
        self._file, self._most = io.BytesIO(content), most

    def read(self, size: int = -1, /) -> bytes:
        return self._file.read(min(size, self._most) if size >= 0 else self._most)


def content_of(packed: bytes, folder: Path, *, at_a_time: int = 1 << 16, block: int = 1000, **members: Any) -> bytes:
    with opened(Slow(packed, at_a_time), form(**members), folder) as content:
        read = b"".join(iter(lambda: content.read(block), b""))
    assert not list(folder.iterdir()), "nothing is left of what was put down"
    return read


def refused(packed: bytes, folder: Path, **members: Any) -> str:
    with pytest.raises(FileRefused) as error:
        content_of(packed, folder, **members)
    assert not list(folder.iterdir())
    return error.value.code


@settings(max_examples=60, deadline=None)
@given(
    content=st.binary(max_size=3000).map(lambda some: some * 7),
    kind=st.sampled_from(["none", "gzip", "zip", "zip in zip"]),
    at_a_time=st.integers(1, 5000),
    block=st.integers(1, 5000),
)
def test_any_content_comes_out_as_it_was_packed_in_pieces_of_any_size(
    tmp_path_factory, content, kind, at_a_time, block
):
    folder = tmp_path_factory.mktemp("work")
    container = kind.split()[0]
    assert content_of(packed(content, kind), folder, at_a_time=at_a_time, block=block, container=container) == content


def test_members_of_a_gzip_file_follow_one_another_and_zeros_fill_it_up(tmp_path):
    content = gzip.compress(b"a,b\n") + gzip.compress(b"") + gzip.compress(b"1,2\n") + bytes(70_000)
    assert content_of(content, tmp_path, container="gzip") == b"a,b\n1,2\n"
    assert content_of(content, tmp_path, at_a_time=1, container="gzip") == b"a,b\n1,2\n"


@pytest.mark.parametrize(
    ("content", "container", "code"),
    [
        (b"a,b\n1,2\n", "gzip", "wrong_container"),
        (b"", "gzip", "damaged_container"),
        (gzip.compress(b"a,b\n" * 99)[:-1], "gzip", "damaged_container"),
        (gzip.compress(b"a,b\n")[:5], "gzip", "damaged_container"),
        (gzip.compress(b"a,b\n")[:-8] + bytes(8), "gzip", "damaged_container"),
        (gzip.compress(b"a,b\n") + b"more", "gzip", "damaged_container"),
        (zipped({"a.txt": b"a,b\n"}), "gzip", "wrong_container"),
        (b"a,b\n1,2\n", "zip", "wrong_container"),
        (b"", "zip", "wrong_container"),
        (gzip.compress(b"a,b\n"), "zip", "wrong_container"),
        (zipped({"a.txt": b"a,b\n" * 99})[:-30], "zip", "wrong_container"),
        (
            zipped({"a.txt": b"a,b\n"}, method=zipfile.ZIP_STORED).replace(b"a,b\n", b"a,c\n"),
            "zip",
            "damaged_container",
        ),
        (zipped({"a.zip": b"no zip"}), "zip", "wrong_container"),
        (packed(zipped({"a.zip": zipped({"a.txt": b""})}), "zip in zip"), "zip", None),
        (zipped({"a.zip": zipped({"b.zip": zipped({"a.txt": b""})})}), "zip", "nested_container"),
        (zipped({"a.txt": b"a,b\n"}, method=zipfile.ZIP_BZIP2), "zip", "unreadable_member"),
        (zipped({"a.txt": b"a,b\n"}, method=zipfile.ZIP_LZMA), "zip", "unreadable_member"),
        (zipped({"../a.txt": b""}), "zip", "unsafe_member"),
        (zipped({"a.txt": b"a,b\n", "b/../../c": b""}), "zip", "unsafe_member"),
        (zipped({"/etc/passwd": b""}), "zip", "unsafe_member"),
        (zipped({"..\\a.txt": b""}), "zip", "unsafe_member"),
        (zipped({"C:\\a.txt": b""}), "zip", "unsafe_member"),
        (zipped({}), "zip", "ambiguous_member"),
        (zipped({"a.txt": b"", "b.txt": b""}), "zip", "ambiguous_member"),
        (zipped({f"{n}.txt": b"" for n in range(MAX_MEMBERS + 1)}), "zip", "too_many_members"),
        (zipped({f"{n:065000d}": b"" for n in range(20)}), "zip", "too_many_members"),
    ],
    ids=itertools.count(),
)
def test_a_container_that_is_not_what_it_should_be_is_refused(tmp_path, content, container, code):
    if code is None:
        content_of(content, tmp_path, container=container)
    else:
        assert refused(content, tmp_path, container=container) == code


def test_a_file_with_a_password_is_refused(tmp_path):
    content = bytearray(zipped({"a.txt": b"a,b\n"}))
    for flags in (6, content.index(b"PK\x01\x02") + 8):
        content[flags] |= 1
    assert refused(bytes(content), tmp_path, container="zip") == "unreadable_member"


MEMBERS = {
    "index.txt": b"index",
    "2005/LOAN_20050930.txt": b"loans",
    "2005/CARD_20050930.txt": b"cards",
    "__MACOSX/2005/._LOAN_20050930.txt": b"a Mac's",
    "2005/": b"",
}


@pytest.mark.parametrize(
    ("members", "member", "content"),
    [
        (MEMBERS, "LOAN_*.txt", b"loans"),
        (MEMBERS, "index.txt", b"index"),
        (MEMBERS, "*.txt", None),
        (MEMBERS, "loan_*.txt", None),
        (MEMBERS, None, None),
        ({"index.txt": b"", "loans.zip": zipped(MEMBERS)}, "loans.zip/CARD*", b"cards"),
        ({"index.txt": b"", "loans.zip": zipped(MEMBERS)}, "*.zip/CARD*", b"cards"),
        ({"index.txt": b"", "loans.zip": zipped(MEMBERS)}, "index.txt", b""),
        ({"loans.zip": zipped(MEMBERS)}, "CARD*", b"cards"),
        ({"LOANS.ZIP": zipped({"a.txt": b"a"})}, None, b"a"),
        ({"贷款.txt": b"loans", "卡.txt": b"cards"}, "贷款*", b"loans"),
    ],
)
def test_one_file_is_meant_and_the_mapping_may_say_which(tmp_path, members, member, content):
    archive = zipped(members)
    if content is None:
        assert refused(archive, tmp_path, container="zip", member=member) == "ambiguous_member"
    else:
        assert content_of(archive, tmp_path, container="zip", member=member) == content


def test_a_name_that_windows_wrote_in_gbk_is_matched_as_it_was_meant(tmp_path):
    archive = zipped({"2005/----.txt": b"loans", "2005/cards.txt": b"cards"}).replace(b"----", "贷款".encode("gbk"))
    assert content_of(archive, tmp_path, container="zip", member="贷款*") == b"loans"


def test_the_names_in_an_archive_are_not_repeated(tmp_path):
    with pytest.raises(FileRefused) as error:
        content_of(zipped({"6217000000000001.txt": b"", "6217000000000002.txt": b""}), tmp_path, container="zip")
    assert "6217" not in str(error.value.problem())
    assert "2 files" in error.value.detail


def bomb(container: str) -> bytes:
    """A hundred megabytes of blanks in a hundred kilobytes."""
    squeeze = zlib.compressobj(9, wbits=31)
    blanks = bytes([32]) * (1 << 20)
    if container == "gzip":
        return b"".join([*(squeeze.compress(blanks) for _ in range(100)), squeeze.flush()])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.txt", "w") as member:
        for _ in range(100):
            member.write(blanks)
    return buffer.getvalue()


@pytest.mark.parametrize("container", ["gzip", "zip", "zip in zip"])
def test_a_bomb_is_refused_long_before_it_has_gone_off(tmp_path, container):
    content = bomb(container)
    content = zipped({"a.zip": content}) if container == "zip in zip" else content
    taken = 0
    tracemalloc.start()
    unpacked = opened(Slow(content, 1 << 16), form(container=container.split()[0]), tmp_path)
    with pytest.raises(FileRefused) as error, unpacked as stream:
        while block := stream.read(1 << 16):
            taken += len(block)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert error.value.code == "unpacks_too_far"
    assert (taken < 30_000_000, peak < 3_000_000) == (True, True)


@pytest.mark.parametrize("container", ["gzip", "zip", "zip in zip"])
def test_content_longer_than_the_mapping_allows_is_refused(tmp_path, container):
    content = random.Random(1).randbytes(5000)
    members = {"container": container.split()[0]}
    assert content_of(packed(content, container), tmp_path, max_unpacked_bytes=6000, **members) == content
    assert refused(packed(content, container), tmp_path, max_unpacked_bytes=4999, **members) == "unpacks_too_far"


@settings(max_examples=100, deadline=None)
@given(
    kind=st.sampled_from(["gzip", "zip", "zip in zip"]),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4),
    cut=st.none() | st.floats(0, 1),
)
def test_a_damaged_container_gives_its_content_or_is_refused_and_nothing_else(tmp_path_factory, kind, changes, cut):
    content = b"".join(b"%d,%d\n" % (n, n * n) for n in range(200))
    damaged = bytearray(packed(content, kind))
    for place, value in changes:
        damaged[int(place * len(damaged))] = value
    if cut is not None:
        del damaged[int(cut * len(damaged)) :]
    try:
        assert content_of(bytes(damaged), tmp_path_factory.mktemp("w"), container=kind.split()[0]) == content
    except FileRefused as error:
        assert error.code.endswith(("_container", "_member", "_members")) or error.code == "unpacks_too_far"
