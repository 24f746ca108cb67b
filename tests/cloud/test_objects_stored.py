"""Bytes on disk that behave as bytes, and the parts they are made with."""

import copy
import gc
import hashlib
import os
import zlib

import pytest

from atelier.cloud.gateway.hooks.objects import checksums
from atelier.cloud.gateway.hooks.objects.framing import Chunked
from atelier.cloud.gateway.hooks.objects.stored import Opened, Stored, Upload, joined

MB = 1 << 20
CONTENT = os.urandom(2 * MB + 5)


@pytest.fixture
def path(tmp_path):
    (tmp_path / "file").write_bytes(CONTENT)
    return tmp_path / "file"


@pytest.fixture
def scratch(tmp_path):
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


@pytest.mark.parametrize("part", [slice(None), slice(3, 9), slice(-4, None), slice(5, 5), slice(MB, None)])
def test_a_slice_is_that_stretch(path, part):
    stored = Stored.at(path)[part]

    assert (len(CONTENT[part]), CONTENT[part]) == (len(stored), bytes(stored))


def test_a_slice_of_a_slice_counts_from_the_slice(path):
    assert CONTENT[10:20][2:5] == bytes(Stored.at(path)[10:20][2:5])


def test_a_digest_is_of_the_stretch(path):
    assert hashlib.md5(CONTENT[7:]).digest() == Stored.at(path)[7:].digest("MD5")


def test_a_copy_is_itself(path):
    stored = Stored.at(path)

    assert stored is copy.deepcopy({"body": stored})["body"]


def test_it_keeps_its_bytes_when_the_file_is_replaced(path):
    stored = Stored.at(path)
    path.with_suffix(".new").write_bytes(b"other")
    path.with_suffix(".new").replace(path)

    assert CONTENT == bytes(stored)


def test_a_file_that_is_too_short_is_an_error(path):
    with pytest.raises(OSError, match="shorter"):
        bytes(Stored(Opened(path), 0, len(CONTENT) + 1))


def test_it_is_placed_by_a_link(path, scratch):
    Stored.at(path).place(path.with_name("target"), scratch)

    assert path.samefile(path.with_name("target"))
    assert [] == list(scratch.iterdir())


def test_it_can_be_placed_onto_itself(path, scratch):
    Stored.at(path).place(path, scratch)

    assert CONTENT == path.read_bytes()
    assert [] == list(scratch.iterdir())


def test_a_stretch_is_placed_by_a_copy(path, scratch):
    Stored.at(path)[3:].place(path, scratch)

    assert CONTENT[3:] == path.read_bytes()


def test_what_was_replaced_meanwhile_is_placed_by_a_copy(path, scratch):
    stored = Stored.at(path)
    path.unlink()
    path.write_bytes(b"x" * len(CONTENT))

    stored.place(path.with_name("target"), scratch)

    assert CONTENT == path.with_name("target").read_bytes()


def test_an_upload_is_there_as_long_as_someone_has_it(path, scratch):
    stored = Stored(Upload(path), 0, len(CONTENT))
    stored.place(path.with_name("target"), scratch)
    assert path.exists()

    del stored
    gc.collect()

    assert not path.exists()
    assert CONTENT == path.with_name("target").read_bytes()


def test_joined_bodies_follow_each_other(path, scratch):
    one = joined([Stored.at(path)[:MB], b"between", Stored.at(path)[MB:]], scratch)

    assert CONTENT[:MB] + b"between" + CONTENT[MB:] == bytes(one)
    assert b"ab" == joined([b"a", b"b"], scratch)


@pytest.mark.parametrize(
    ("name", "digest"),
    [("CRC32", "cbf43926"), ("CRC32C", "e3069283"), ("CRC64NVME", "ae8b14860a799888")],
)
def test_a_crc_has_its_published_check_value(name, digest):
    assert digest == checksums.of([b"1234", b"", b"56789"], name).hex()


def test_crc32_is_zlibs():
    assert zlib.crc32(CONTENT).to_bytes(4, "big") == checksums.of([CONTENT[:9], CONTENT[9:]], "CRC32")


def test_chunks_may_arrive_a_byte_at_a_time():
    framing, headers = Chunked(), {"x-amz-trailer": "x-amz-checksum-crc32", "content-encoding": "aws-chunked"}
    wire = b"3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\nx-amz-checksum-crc32: xyz\r\n\r\n"

    content = [piece for byte in wire for piece in framing.feed(bytes([byte]))]
    framing.finish(headers)

    assert b"abcde" == b"".join(content)
    assert {"x-amz-trailer": "x-amz-checksum-crc32", "x-amz-checksum-crc32": "xyz"} == headers
