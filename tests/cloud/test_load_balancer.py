"""Application load balancers at work: requests go through real ones to real servers."""

from __future__ import annotations

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
