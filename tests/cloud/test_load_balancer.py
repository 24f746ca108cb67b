"""Application load balancers at work: requests go through real ones to real servers."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from load_balancer_world import World, ask


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.close()


def test_a_request_reaches_a_healthy_target_and_its_answer_comes_back(world):
    service = world.service("one")
    _, name = world.fleet(service)

    status, body, _headers = ask(name, "/a?b=c", Host="shop.example")

    assert (200, b"one") == (status, body)
    [seen] = service.asked("/a?b=c")
    assert "shop.example" == seen["Host"]
    assert "127.0.0.1" == seen["X-Forwarded-For"]
    assert ("http", "80") == (seen["X-Forwarded-Proto"], seen["X-Forwarded-Port"])
    assert seen["X-Amzn-Trace-Id"].startswith("Root=1-")


def test_a_deregistered_target_ends_what_it_works_on_and_gets_nothing_new(world):
    slow, other = world.service("slow"), world.service("other")
    group, name = world.fleet(slow, delay=20)
    begun, go_on = threading.Event(), threading.Event()

    def linger(handler):
        begun.set()
        go_on.wait(20)
        handler.reply(200, b"done")

    slow.paths["/long"] = linger
    with ThreadPoolExecutor() as pool:
        long = pool.submit(ask, name, "/long")
        begun.wait(10)
        world.register(group, other)
        world.deregister(group, slow)
        answers = [ask(name)[1] for _ in range(5)]
        state = world.state(group, slow)
        go_on.set()

    assert [b"other"] * 5 == answers
    assert "draining" == state
    assert (200, b"done") == long.result()[:2]


def test_what_a_deregistered_target_still_works_on_is_cut_off_when_its_time_is_over(world):
    slow = world.service("slow")
    group, name = world.fleet(slow, delay=1)
    begun, go_on = threading.Event(), threading.Event()
    slow.paths["/long"] = lambda handler: (begun.set(), go_on.wait(20))
    with ThreadPoolExecutor() as pool:
        long = pool.submit(ask, name, "/long")
        begun.wait(10)
        world.deregister(group, slow)
        status = long.result()[0]
        go_on.set()

    assert 502 == status
    assert "unused" == world.state(group, slow)
    assert 503 == ask(name)[0]


def test_a_target_that_begins_to_fail_gets_no_more_requests(world):
    good, bad = world.service("good"), world.service("bad")
    group, name = world.fleet(good, bad)

    assert {b"good", b"bad"} == {ask(name)[1] for _ in range(4)}

    bad.paths["/"] = lambda handler: handler.reply(500, b"broken")
    world.until(group, bad, "unhealthy")

    assert {b"good"} == {ask(name)[1] for _ in range(4)}
