"""Twenty redeployments of the serving fleet under load, every fourth to a model that is refused.

    python tests/bench/fleet.py [--landings 20]

It says in how many seconds a model that has landed answers through the load balancer, and how many requests
were made and failed. It fails when one did, when a bad model answered, or when a good one took longer than
20 seconds beyond the start of its own container.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import fleet_workshop  # noqa: E402

from atelier.client.fleet import Fleet  # noqa: E402
from atelier.contract import fleet as contract  # noqa: E402

LONGEST = 20.0
BAD = 4
"""Each so manieth model is a bad one."""

CLIENTS = 4
PATIENCE = 300.0
BODY = json.dumps({"prompt": "Say"}).encode()
HEADERS = {"Content-Type": "application/json"}


class Load:
    """Clients that ask on connections that they keep, and remember who answered first and what failed."""

    def __init__(self, url: str) -> None:
        self._host = urlsplit(url).netloc
        self._ending = threading.Event()
        self.words: Counter[str] = Counter()
        self.first: dict[str, float] = {}
        self.failures: list[str] = []
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(CLIENTS)]

    def _ask(self, number: int) -> None:
        """Ask again and again; every other client opens a connection for each request."""
        connection = http.client.HTTPConnection(self._host, timeout=60)
        while not self._ending.is_set():
            try:
                connection.request("POST", "/invocations", BODY, HEADERS)
                answer = connection.getresponse()
                self._take(answer.status, answer.read())
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(f"{type(error).__name__}: {error}")
                connection.close()
            if number % 2:
                connection.close()
            self._ending.wait(0.02)
        connection.close()

    def _take(self, status: int, body: bytes) -> None:
        if status != 200:
            self.failures.append(f"{status}: {body[:200]!r}")
            return
        word = json.loads(body)["model"]["word"]
        self.words[word] += 1
        self.first.setdefault(word, time.monotonic())

    def start(self) -> None:
        """Begin."""
        for each in self._threads:
            each.start()

    def stop(self) -> None:
        """End."""
        self._ending.set()
        for each in self._threads:
            each.join()


def land(fleet: Fleet, folder: Path, word: str, name: str) -> tuple[str, float, float]:
    """Let a model land; return what became of it, when it had landed, and when that was settled."""
    version = fleet.put(fleet_workshop.archive(folder, word), name)
    landed = time.monotonic()
    found = fleet.settled(name, version, patience=PATIENCE)
    return found.status, landed, time.monotonic()


def own_start(fleet: Fleet) -> float:
    """Return how long the container of the newest task took from being created to running."""
    ecs, cluster = fleet.clients.ecs, fleet.place.cluster
    tasks = ecs.describe_tasks(cluster=cluster, tasks=ecs.list_tasks(cluster=cluster)["taskArns"])["tasks"]
    newest = max(tasks, key=lambda each: each["createdAt"])
    return float((newest["startedAt"] - newest["createdAt"]).total_seconds())


def measure(fleet: Fleet, folder: Path, landings: int) -> dict[str, object]:
    """Let models land one after another while clients ask."""
    status, *_ = land(fleet, folder, "word-0", "word-0")
    if status != contract.SERVING:
        raise SystemExit(f"the first model is {status}")
    load = Load(fleet.place.url)
    load.start()
    answering, settling, odd = [], [], []
    for number in range(1, landings + 1):
        is_bad = number % BAD == 0
        word = fleet_workshop.GARBAGE if is_bad else f"word-{number}"
        status, landed, settled = land(fleet, folder, word, f"word-{number}")
        if status != (contract.REFUSED if is_bad else contract.SERVING):
            odd.append(f"model {number} is {status}")
        settling.append(settled - landed)
        if not is_bad and word in load.first:
            answering.append(load.first[word] - landed)
        sys.stderr.write(f"{number}: {status} after {settled - landed:.1f} s\n")
    load.stop()
    return {
        "landings": landings,
        "bad": landings // BAD,
        "requests": sum(load.words.values()),
        "failed": len(load.failures),
        "failures": load.failures[:5],
        "garbage_answers": load.words[fleet_workshop.GARBAGE],
        "odd": odd,
        "answering_seconds_median": round(statistics.median(answering), 1),
        "answering_seconds_longest": round(max(answering), 1),
        "container_seconds": round(own_start(fleet), 1),
        "settled_seconds_longest": round(max(settling), 1),
    }


def main() -> int:
    """Measure; say whether it was as it has to be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--landings", type=int, default=20)
    with fleet_workshop.installed() as (fleet, folder):
        found = measure(fleet, folder, parser.parse_args().landings)
    sys.stdout.write(json.dumps(found) + "\n")
    slowest = float(str(found["answering_seconds_longest"])) - float(str(found["container_seconds"]))
    return int(bool(found["failed"] or found["garbage_answers"] or found["odd"]) or slowest > LONGEST)


if __name__ == "__main__":
    sys.exit(main())
