"""What the local CloudFront keeps, for how long, and what it drops."""

import gzip
import re

import pytest

from atelier.cloud.gateway.hooks.edge.cache import POLICIES, Answer, Bounds, Cache, seconds
from atelier.cloud.gateway.hooks.edge.install import refused_paths
from atelier.cloud.gateway.hooks.edge.viewers import compressed

OPTIMIZED = POLICIES["658327ea-f89d-4fab-a63d-7e88639e58f6"]


def answer(body=b"x", status=200, **headers):
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status=status, reason="", headers=told, body=body)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def cache(clock):
    return Cache(clock=clock, most=100)


def keep(cache, path, body=b"x", distribution="d", seconds=60):
    cache.keep(distribution, path, answer(body), seconds=seconds, turn=cache.turn(distribution))


def paths(cache, *candidates):
    return [each for each in candidates if cache.get("d", each)]


def test_an_answer_is_kept_until_its_time_is_over(cache, clock):
    keep(cache, "/a")
    clock.now = 59

    assert (answer(), 59) == cache.get("d", "/a")
    clock.now = 60
    assert cache.get("d", "/a") is None


def test_distributions_have_nothing_in_common(cache):
    keep(cache, "/a")

    assert cache.get("e", "/a") is None


def test_an_invalidation_drops_what_it_names_and_nothing_else(cache):
    for each in ("/a", "/a.html", "/b/a", "/b/c", "/b"):
        keep(cache, each)

    cache.forget("d", ["/a", "/b/*"])

    assert ["/a.html", "/b"] == paths(cache, "/a", "/a.html", "/b/a", "/b/c", "/b")


def test_only_the_last_star_means_anything(cache):
    keep(cache, "/a[1]?b")
    keep(cache, "/a1xb")

    cache.forget("d", ["/a[1]?b"])

    assert ["/a1xb"] == paths(cache, "/a[1]?b", "/a1xb")


def test_an_invalidation_leaves_other_distributions_alone(cache):
    keep(cache, "/a")

    cache.forget("e", ["/*"])

    assert ["/a"] == paths(cache, "/a")


def test_what_was_asked_for_before_an_invalidation_is_not_kept_after_it(cache):
    turn = cache.turn("d")
    cache.forget("d", ["/a"])

    cache.keep("d", "/a", answer(b"old"), seconds=60, turn=turn)

    assert cache.get("d", "/a") is None


def test_the_least_used_go_when_there_is_too_much(cache):
    keep(cache, "/a", b"x" * 40)
    keep(cache, "/b", b"x" * 40)
    cache.get("d", "/a")

    keep(cache, "/c", b"x" * 40)

    assert ["/a", "/c"] == paths(cache, "/a", "/b", "/c")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("max-age=60", 60),
        ("public, max-age=0, s-maxage=31536000, must-revalidate", 31_536_000),
        ("max-age=99999999999", 31_536_000),
        ("max-age=0", 1),
        ("no-store", 1),
        ("private, max-age=60", 1),
        ("", 86_400),
        ("public", 86_400),
    ],
)
def test_an_origin_says_how_long_within_the_policys_bounds(said, expected):
    assert expected == seconds(answer(cache_control=said), OPTIMIZED, {}, 0)


def test_an_old_date_is_as_good_as_none():
    assert 30 == seconds(answer(expires="Thu, 01 Jan 1970 00:01:30 GMT"), OPTIMIZED, {}, 60)
    assert 1 == seconds(answer(expires="never"), OPTIMIZED, {}, 60)


def test_nothing_is_kept_where_caching_is_disabled(cache):
    bounds = POLICIES["4135ea2d-6df8-44a3-9df3-4b5a84be39ad"]

    assert 0 == seconds(answer(cache_control="max-age=60"), bounds, {}, 0)
    keep(cache, "/a", seconds=0)
    assert cache.get("d", "/a") is None


def test_an_error_is_kept_as_long_as_the_distribution_says():
    bounds = Bounds(least=0, usual=0, most=0)

    assert 10 == seconds(answer(status=404), bounds, {}, 0)
    assert 3 == seconds(answer(status=403), bounds, {403: 3}, 0)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "no invalidation paths"),
        (["index.html"], "invalid invalidation paths: index.html"),
        (["/a*b"], r"invalid invalidation paths: /a\*b"),
        (["/a"] * 3_001, "more than 3000"),
    ],
)
def test_paths_that_cloudfront_refuses_are_refused(given, words):
    assert re.search(words, refused_paths(given))


def test_text_of_some_size_is_compressed():
    status, headers, body = compressed(
        (200, {"Content-Type": "text/css", "Etag": '"1"', "Content-Length": "2000"}, b"a" * 2000)
    )

    assert b"a" * 2000 == gzip.decompress(body)
    assert {
        "Content-Type": "text/css", "Etag": 'W/"1"', "Content-Encoding": "gzip", "Vary": "Accept-Encoding",
    } == headers  # fmt: skip
    assert 200 == status


@pytest.mark.parametrize(
    "given",
    [
        (200, {"Content-Type": "text/css"}, b"short"),
        (200, {"Content-Type": "image/png"}, b"a" * 2000),
        (200, {"Content-Type": "text/css", "Content-Encoding": "br"}, b"a" * 2000),
        (404, {"Content-Type": "text/html"}, b"a" * 2000),
    ],
)
def test_what_cloudfront_leaves_as_it_is_stays_so(given):
    assert given == compressed(given)
