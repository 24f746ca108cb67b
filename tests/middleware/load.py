"""How the middleware bears many clients: each looks every two seconds and asks for a picture now and then.

    python tests/middleware/load.py [--clients 200] [--seconds 60]

A cloud of its own is started and the middleware deployed with an image that paints at once. It fails when an
answer is a server error, or a job that was accepted does not come to its end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import ssl
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import studio as shop  # noqa: E402

from atelier.cloud.gateway import launch  # noqa: E402

EVERY = 2.0
PATIENCE = 600
"""Seconds for all jobs together: a notice that a killed function had comes again after six minutes."""
SHARE = 0.03
"""Of the looks, so many ask for a picture too."""

JOB = {
    "task_type": "txt2img",
    "inference_type": "Async",
    "sagemaker_endpoint_name": "sd-async-load",
    "models": {"Stable-diffusion": ["load.safetensors"]},
    "payload_string": json.dumps({"prompt": "a crowd"}),
}


@dataclass
class Tally:
    """What has been answered, how fast, and which jobs were begun."""

    statuses: Counter = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    errors: Counter = field(default_factory=Counter)

    async def ask(self, client, method, path, body=None):
        start = time.perf_counter()
        try:
            answer = await client.request(method, path, json=body)
        except httpx.HTTPError as error:
            self.errors[type(error).__name__] += 1
            return None
        self.seconds.append(time.perf_counter() - start)
        self.statuses[answer.status_code] += 1
        return answer


async def one(client, tally, until, chance):
    """Be one client until the time is over."""
    await asyncio.sleep(chance.random() * EVERY)
    mine = None
    while time.monotonic() < until:
        await tally.ask(client, "GET", f"inferences/{mine}" if mine else "inferences?limit=5")
        if chance.random() < SHARE:
            answer = await tally.ask(client, "POST", "inferences", JOB)
            if answer is not None and answer.status_code == 202:
                mine = answer.json()["data"]["InferenceJobId"]
                tally.jobs.append(mine)
        await asyncio.sleep(EVERY)


async def crowd(studio, clients, seconds):
    tally, until = Tally(), time.monotonic() + seconds
    tls = ssl.create_default_context()
    await asyncio.gather(*(_alone(studio, tls, tally, until, number) for number in range(clients)))
    return tally


async def _alone(studio, tls, tally, until, number):
    """Have a connection of one's own: a pool of many costs more than what is measured."""
    headers = {"x-api-key": studio.token, "username": "api"}
    async with httpx.AsyncClient(
        base_url=studio.url, headers=headers, timeout=60, trust_env=False, verify=tls
    ) as client:
        await one(client, tally, until, random.Random(number))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    chosen = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="atelier-load-"))
    try:
        studio = shop.opened(place / "home")
        studio.document = {}
        shop.endpoint(studio, "load")
        shop.upload(studio, "load.safetensors")
        alone = statistics.median(tuple(_once(studio) for _ in range(20)))
        tally = asyncio.run(crowd(studio, chosen.clients, chosen.seconds))
        deadline = time.monotonic() + PATIENCE
        ends = Counter(_end(studio, each, deadline) for each in tally.jobs)
    finally:
        launch.stop(place / "home")
        shutil.rmtree(place, ignore_errors=True)
    report(tally, ends, alone, chosen.seconds)
    failed = sum(count for status, count in tally.statuses.items() if status >= 500)
    sys.exit(1 if failed or tally.errors or set(ends) - {"succeeded"} else 0)


def _end(studio, id, deadline):
    """Return how a job stands at its end, or at the *deadline* of them all."""
    while True:
        status = studio.data("GetInferenceJob", at={"id": id})["status"]
        if status not in {"created", "inprogress"} or time.monotonic() > deadline:
            return status
        time.sleep(0.2)


def _once(studio):
    """Return how long a look takes when nobody else looks: what a crowd is to be compared with."""
    start = time.perf_counter()
    studio.data("ListInferences", query={"limit": "5"})
    return time.perf_counter() - start


def report(tally, ends, alone, seconds):
    """Write one JSON object."""
    cuts = statistics.quantiles(tally.seconds, n=100)
    document = {
        "requests": len(tally.seconds),
        "statuses": dict(tally.statuses),
        "errors": dict(tally.errors),
        "each_second": round(len(tally.seconds) / seconds, 1),
        "milliseconds": {str(each): round(1000 * cuts[each - 1]) for each in (50, 95, 99)},
        "alone": round(1000 * alone),
        "times_alone": {str(each): round(cuts[each - 1] / alone, 1) for each in (50, 95, 99)},
        "jobs": len(tally.jobs),
        "ended": dict(ends),
    }
    sys.stdout.write(json.dumps(document) + "\n")


if __name__ == "__main__":
    main()
