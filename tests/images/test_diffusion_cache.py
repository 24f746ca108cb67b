from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from diffusion.cache import Cache, Found, Source
from diffusion.errors import Invalid, Stopped, Unreachable


@dataclass
class Shelf:
    """A store in memory that counts what is asked of it."""

    objects: dict[str, bytes] = field(default_factory=dict)
    reads: list[str] = field(default_factory=list)
    may_read: threading.Event = field(default_factory=threading.Event)
    lost: int = 0

    def __post_init__(self) -> None:
        self.may_read.set()

    def find(self, address: str) -> Found:
        if address not in self.objects:
            raise Invalid(f"{address} is not there")
        body = self.objects[address]
        return Found(size=len(body), version=hashlib.md5(body).hexdigest())

    def read(self, address: str, version: str) -> Iterator[bytes]:
        self.reads.append(address)
        self.may_read.wait(10)
        body = self.objects[address]
        yield body[:10]
        yield body[10 : len(body) - self.lost]


def source(letter: str, sha256: str | None = None) -> Source:
    return Source(name=letter, address=f"s3://b/{letter}", sha256=sha256)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf({f"s3://b/{each}": each.encode() * 100 for each in "abcd"})


@pytest.fixture
def cache(tmp_path, shelf) -> Cache:
    """Room for three."""
    return Cache(tmp_path / "cache", 300, shelf)


def take(cache: Cache, *sources: Source) -> list[str]:
    """Lease one after the other; return the digests."""
    found = []
    for each in sources:
        with cache.lease(each) as checkpoint:
            assert checkpoint.sha256 == hashlib.sha256(checkpoint.path.read_bytes()).hexdigest()
            found.append(checkpoint.sha256)
    return found


def test_a_checkpoint_is_fetched_once(cache, shelf):
    one, two = take(cache, source("a"), source("a"))

    assert hashlib.sha256(b"a" * 100).hexdigest() == one == two
    assert ["s3://b/a"] == shelf.reads


def test_requests_that_come_together_share_one_download(cache, shelf):
    shelf.may_read.clear()
    with ThreadPoolExecutor(8) as crowd:
        taken = [crowd.submit(take, cache, source("a")) for _ in range(8)]
        shelf.may_read.set()
        digests = {each.result()[0] for each in taken}

    assert 1 == len(digests)
    assert 1 == len(shelf.reads)


def test_requests_that_come_together_share_one_failure(cache, shelf):
    shelf.may_read.clear()
    shelf.lost = 1
    with ThreadPoolExecutor(4) as crowd:
        taken = [crowd.submit(take, cache, source("a")) for _ in range(4)]
        shelf.may_read.set()

        assert ["did not arrive whole"] * 4 == [str(each.exception())[-20:] for each in taken]


def test_a_container_that_starts_again_finds_what_it_has(cache, shelf, tmp_path):
    take(cache, source("a"))
    (tmp_path / "cache" / "half.part").write_bytes(b"x")

    take(Cache(tmp_path / "cache", 300, shelf), source("a"))

    assert 1 == len(shelf.reads)
    assert not list((tmp_path / "cache").glob("*.part"))


def test_the_least_recently_used_leaves_first(cache, shelf, tmp_path):
    take(cache, source("a"), source("b"), source("c"))
    for number, each in enumerate(sorted((tmp_path / "cache").iterdir())):
        os.utime(each, (1000 + number, 1000 + number))
    take(cache, source("a"))
    shelf.reads.clear()

    take(cache, source("d"), source("a"))

    assert ["s3://b/d"] == shelf.reads
    assert 3 == len(list((tmp_path / "cache").iterdir()))


def test_what_is_in_use_stays_and_the_next_is_told_to_come_back(cache):
    with ExitStack() as held:
        kept = [held.enter_context(cache.lease(source(each))) for each in "abc"]
        with pytest.raises(Unreachable, match="no room for s3://b/d beside the checkpoints in use"):
            take(cache, source("d"))

        assert all(each.path.exists() for each in kept)
    take(cache, source("d"))


def test_what_is_too_large_is_not_fetched(cache, shelf):
    shelf.objects["s3://b/a"] = b"a" * 301

    with pytest.raises(Invalid, match="s3://b/a has 301 bytes; this container keeps at most 300"):
        take(cache, source("a"))
    assert [] == shelf.reads


def test_a_new_content_at_the_same_address_is_fetched(cache, shelf):
    before = take(cache, source("a"))
    shelf.objects["s3://b/a"] = b"new" * 10

    assert [hashlib.sha256(b"new" * 10).hexdigest()] == take(cache, source("a")) != before


def test_the_same_content_at_another_address_is_not_fetched_again(cache, shelf):
    digest = hashlib.sha256(b"a" * 100).hexdigest()

    take(cache, source("a", digest), Source(name="x", address="s3://b/x", sha256=digest))

    assert ["s3://b/a"] == shelf.reads


def test_another_content_than_was_promised_is_refused_and_not_kept(cache, tmp_path):
    with pytest.raises(Invalid, match=f"s3://b/a has the SHA-256 [0-9a-f]{{64}}, not {'0' * 64}"):
        take(cache, source("a", "0" * 64))
    assert [] == list((tmp_path / "cache").iterdir())


def test_after_a_failure_the_next_request_tries_again(cache, shelf):
    shelf.lost = 1
    with pytest.raises(Unreachable):
        take(cache, source("a"))
    shelf.lost = 0

    take(cache, source("a"))


def test_a_container_that_ends_gives_up_what_it_fetches(cache):
    cache.close()

    with pytest.raises(Stopped, match="the container ends"):
        take(cache, source("a"))


def test_more_than_was_announced_is_not_kept(cache, shelf, tmp_path):
    class Growing(Shelf):
        def find(self, address: str) -> Found:
            return Found(size=5, version="1")

    with pytest.raises(Unreachable, match="did not arrive whole"):
        take(Cache(Path(tmp_path), 300, Growing(shelf.objects)), source("a"))
