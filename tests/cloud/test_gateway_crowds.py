"""A crowd is served by few workers and one authorizer's answer, in the order in which it came."""

import asyncio
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from stacks import a_function

from atelier.cloud.gateway.hooks import authorizers
from atelier.cloud.gateway.hooks.workers import Line

SLOW_TO_START = """
import os, time
time.sleep(1)
def handler(event, context):
    time.sleep(event or 0)
    return os.getpid()
"""


class Pool(list):
    """The workers of one function; taking one that is not there starts it."""

    def take(self):
        for each in self:
            if not each.in_use:
                each.in_use = True
                return each, "reused"
        self.append(SimpleNamespace(in_use=True, seconds_to_start=0.2))
        return self[-1], "spawn"


def waiting(line, pool, taken):
    thread = threading.Thread(target=lambda: taken.append(line.wait(lambda: pool, pool.take)[1]))
    thread.start()
    return thread


def test_the_first_one_starts_a_worker_at_once():
    pool = Pool()

    assert "spawn" == Line().wait(lambda: pool, pool.take)[1]


def test_who_finds_all_busy_takes_the_one_that_gets_free():
    pool, line, taken = Pool([SimpleNamespace(in_use=True, seconds_to_start=60)]), Line(), []
    thread = waiting(line, pool, taken)

    pool[0].in_use = False
    line.move()
    thread.join(5)

    assert ["reused"] == taken


def test_who_has_waited_as_long_as_a_start_takes_starts_another():
    pool, line = Pool([SimpleNamespace(in_use=True, seconds_to_start=0.01)]), Line()

    assert "spawn" == line.wait(lambda: pool, pool.take)[1]


def test_nobody_starts_another_while_one_starts():
    pool, line, taken = Pool([SimpleNamespace(in_use=True)]), Line(), []
    thread = waiting(line, pool, taken)
    thread.join(0.3)

    assert [] == taken

    pool[0].in_use, pool[0].seconds_to_start = False, 0.2
    line.move()
    thread.join(5)
    assert ["reused"] == taken


def test_who_comes_later_is_served_later():
    pool, line, taken = Pool([SimpleNamespace(in_use=True, seconds_to_start=60)]), Line(), []
    threads = []
    for number in range(3):
        mine = SimpleNamespace(append=lambda _, number=number: taken.append(number))
        threads.append(waiting(line, pool, mine))
        while len(line._waiting) < number + 1:
            time.sleep(0.001)

    for each in threads:
        pool[0].in_use = False
        line.move()
        each.join(5)

    assert [0, 1, 2] == taken


def test_a_failure_to_take_leaves_the_line_to_the_next():
    pool, line = Pool(), Line()

    def broken():
        raise RuntimeError("no memory")

    with pytest.raises(RuntimeError):
        line.wait(lambda: pool, broken)

    assert "spawn" == line.wait(lambda: pool, pool.take)[1]


@pytest.fixture
def function(cloud, deploy, unique):
    deploy(a_function(unique, Code={"ZipFile": SLOW_TO_START}, Timeout=30))
    functions = cloud.client("lambda")

    def together(count, event=None):
        def call(_):
            return json.loads(
                functions.invoke(FunctionName=unique, Payload=json.dumps(event))["Payload"].read()
            )

        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(call, range(count)))

    return together


def test_short_calls_of_a_crowd_share_few_processes(function):
    assert 3 > len(set(function(10)))


def test_long_calls_still_get_processes_of_their_own(function):
    function(1)

    assert 1 < len(set(function(3, 3)))


class Asked:
    """An authorizer's function that counts, and answers when it is let."""

    def __init__(self):
        self.count, self.answer = 0, asyncio.Event()

    async def __call__(self, authorizer, event, *where):
        self.count += 1
        await self.answer.wait()
        return {"body": {"principalId": event["headers"]["x-api-key"]}}


def called(key):
    return {
        **{"type": "REQUEST", "methodArn": "arn:aws:execute-api:r:a:api/live/GET/jobs"},
        **{"headers": {"x-api-key": key}, "multiValueQueryStringParameters": None, "stageVariables": None},
    }


def answers(keys, **authorizer):
    """Ask for all of *keys* at once; return what each got, and how often the function was asked."""
    who = {"id": "a", "identitySource": "method.request.header.x-api-key", **authorizer}

    async def crowd():
        asked = Asked()
        invoke = authorizers._together(asked)
        tasks = [asyncio.create_task(invoke(who, called(key), "account", "region")) for key in keys]
        await asyncio.sleep(0.01)
        asked.answer.set()
        return [each["body"]["principalId"] for each in await asyncio.gather(*tasks)], asked.count

    return asyncio.run(crowd())


def test_callers_of_one_token_who_come_together_are_asked_about_once():
    assert (["k", "k", "k"], 1) == answers(["k", "k", "k"], authorizerResultTtlInSeconds=60)


def test_callers_of_other_tokens_get_answers_of_their_own():
    assert (["k", "l"], 2) == answers(["k", "l"], authorizerResultTtlInSeconds=60)


def test_without_a_cache_each_call_is_asked_about():
    assert (["k", "k"], 2) == answers(["k", "k"], authorizerResultTtlInSeconds=0)


def test_a_caller_who_leaves_takes_nothing_from_the_others():
    async def crowd():
        asked = Asked()
        invoke = authorizers._together(asked)
        who = {
            "id": "a",
            "identitySource": "method.request.header.x-api-key",
            "authorizerResultTtlInSeconds": 9,
        }
        leaves, stays = (asyncio.create_task(invoke(who, called("k"), "a", "r")) for _ in range(2))
        await asyncio.sleep(0.01)
        leaves.cancel()
        asked.answer.set()
        return (await stays)["body"]["principalId"]

    assert "k" == asyncio.run(crowd())
