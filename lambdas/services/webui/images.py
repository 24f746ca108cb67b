"""Images: make a tested one the latest."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from atelier.contract.documents import Invalid, dump, load
from atelier.contract.values import Value
from atelier.contract.webui import COMMIT, IMAGE, PROVENANCE, Provenance, PublishImage
from atelier.lambdas.domain.training import Step
from atelier.lambdas.domain.webui import Commit, Run
from atelier.lambdas.errors import Conflict
from atelier.lambdas.ports.webui import History, Latest, People

DIGESTED = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")
ID = re.compile(r"[0-9a-f]{40}")
TRIES = 5
"""How often a record is read again that another writer has changed meanwhile."""


class World(Value):
    """What publishing needs."""

    latest: Latest
    history: History
    people: People


def publish(request: PublishImage, *, now: str, world: World) -> Step:
    """Make an image the latest good one; the image's parameter moves last, so that it names a whole."""
    provenance, before = traced(request, now=now, latest=world.latest), world.latest.get(COMMIT)
    world.latest.put(PROVENANCE, dump(provenance))
    world.latest.put(COMMIT, provenance.upstream)
    world.latest.put(IMAGE, provenance.image)
    _built(provenance, now=now, history=world.history)
    _reopen(provenance, before, history=world.history)
    if _published(provenance, now=now, history=world.history):
        world.people.tell("A new image of the WebUI", _news(provenance))
    outputs = {"IMAGE_URI": provenance.image, "UPSTREAM_COMMIT": provenance.upstream}
    return Step(summary=f"{provenance.tag} is the latest image", outputs=outputs)


def traced(request: PublishImage, *, now: str, latest: Latest) -> Provenance:
    """Return where the image comes from; raise Invalid for what cannot be."""
    if not DIGESTED.fullmatch(request.image):
        raise Invalid(f"{request.image!r} names no image by its digest: the build exports IMAGE_URI")
    for name in ("upstream", "source"):
        if not ID.fullmatch(value := getattr(request, name)):
            raise Invalid(f"{name} is {value!r}, not a commit of 40 hexadecimal digits")
    before, previous = latest.get(IMAGE), ""
    if before == request.image:  # the same step again: what it took the place of is known
        known = latest.get(PROVENANCE)
        previous = load(Provenance, known).previous if known else ""
    return Provenance(
        image=request.image,
        tag=request.tag,
        upstream=request.upstream,
        upstream_url=request.upstream_url,
        source=request.source,
        run=request.run,
        published=now,
        size_bytes=int(_number("SIZE_BYTES", request.size_bytes)),
        startup_seconds=_number("STARTUP_SECONDS", request.startup_seconds),
        previous=previous if before == request.image else before or "",
    )


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise Invalid(f"{name} is {text!r}, no number: the test exports it")
    return value


def _built(provenance: Provenance, *, now: str, history: History) -> None:
    """Write down that the upstream commit is built, whoever had it built."""

    def change() -> None:
        found = history.commit(provenance.upstream)
        commit = found or Commit(id=provenance.upstream, status="built", begun=now)
        done: dict[str, Any] = {"status": "built", "run": provenance.run, "failures": 0}
        history.save_commit(replace(commit, **done, again=None, reason=None))

    _persist(change)


def _reopen(provenance: Provenance, before: str | None, *, history: History) -> None:
    """Have the head built again where a push of ours, built with an older commit, may have changed its lot.

    It failed with what our source was before the push; or its image was published while the push was on its
    way through the pipeline, and is not the latest any more.
    """

    def change() -> None:
        head, run = history.watch().head, history.run(provenance.run)
        commit = history.commit(head) if head else None
        if commit is None or run is None or run.trigger != "push" or head == provenance.upstream:
            return
        if commit.status == "failed" or (commit.status == "built" and head == before):
            history.save_commit(replace(commit, status="superseded", failures=0, again=None))

    _persist(change)


def _published(provenance: Provenance, *, now: str, history: History) -> bool:
    """Write down that the run is published; False when it was before."""
    known: list[bool] = []

    def change() -> None:
        found = history.run(provenance.run)
        known[:] = [found is not None and found.status == "published"]
        run = found or Run(run=provenance.run, status="building", started=now)
        facts = asdict(provenance)
        same = {name: facts[name] for name in facts.keys() & asdict(run).keys()}
        history.save_run(replace(run, **{**same, "status": "published", "ended": now, "reason": None}))

    _persist(change)
    return not known[0]


def _persist(change: Callable[[], None]) -> None:
    for _ in range(TRIES - 1):
        try:
            return change()
        except Conflict:
            continue
    return change()


def _news(provenance: Provenance) -> str:
    megabytes = provenance.size_bytes / 1e6
    return (
        f"Upstream's commit {provenance.upstream} ({provenance.upstream_url})\n"
        f"with the extension of {provenance.source}\n"
        f"is {provenance.image} ({provenance.tag}): {megabytes:.0f} MB, ready in"
        f" {provenance.startup_seconds:.1f} s.\n"
        f"It took the place of {provenance.previous or 'nothing: it is the first'}."
    )
