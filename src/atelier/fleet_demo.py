"""The serving fleet once through: what lands changes what a load balancer answers, with the load running."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from atelier.apprentices import Apprentice, School, impostor
from atelier.client.errors import Problem
from atelier.client.fleet import Fleet, Landing, Status, connect
from atelier.client.outputs import PREFIX
from atelier.contract import fleet as words

if TYPE_CHECKING:
    from atelier.client.session import Clients
    from atelier.demo import Clock

FIRST, SECOND, BAD = "novice", "journeyman", "impostor"
APPRENTICES = (Apprentice(name=FIRST, steps=60), Apprentice(name=SECOND, steps=300))
PROMPT = "The with statement"
REQUEST: Mapping[str, Any] = {"prompt": PROMPT, "max_new_tokens": 24, "temperature": 0.7, "seed": 7}
LOAD: Mapping[str, Any] = {"prompt": PROMPT, "max_new_tokens": 4, "temperature": 0}
CLIENTS, PAUSE = 4, 0.1
PATIENCE = 900.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Where the models are kept, and whose fleet it is."""

    folder: Path
    prefix: str = PREFIX


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What can be seen at one moment."""

    status: Status
    answered: Mapping[str, int]
    failures: int
    seconds: float


class View(Protocol):
    """Who watches: a terminal, a log, or a test."""

    def step(self, text: str) -> None:
        """Say what was done."""
        ...

    def during(self, text: str) -> AbstractContextManager[None]:
        """Say what is going on."""
        ...

    def scene(self, scene: Scene) -> None:
        """Show who answers, and how often."""
        ...


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a model made of the prompt, and how long after its landing it answered."""

    model: str
    text: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Result:
    """What the demo came to."""

    url: str
    answers: tuple[Answer, ...]
    refused: Landing
    answered: Mapping[str, int]
    failures: tuple[str, ...]
    seconds: Mapping[str, float]

    def document(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "url": self.url,
            "answers": [each.__dict__ for each in self.answers],
            "refused": {"model": self.refused.name, "reason": self.refused.reason},
            "requests": dict(self.answered),
            "failures": len(self.failures),
            "seconds": dict(self.seconds),
        }


@dataclass
class Load:
    """Clients that ask all the time, and count who answered."""

    fleet: Fleet
    answered: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Begin."""
        self._ending = threading.Event()
        self._clients = [threading.Thread(target=self._ask, daemon=True) for _ in range(CLIENTS)]
        for each in self._clients:
            each.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End when the last answer is there."""
        self._ending.set()
        for each in self._clients:
            each.join()

    def _ask(self) -> None:
        while not self._ending.is_set():
            try:
                answer = self.fleet.ask(LOAD)
                self.answered[str(answer["model"]["name"])] += 1
            except Problem as error:
                self.failures.append(str(error))
            self._ending.wait(PAUSE)


def go(clients: Clients, plan: Plan, view: View, clock: Clock) -> Result:
    """Train two models, let them land one after the other, then one that is none."""
    fleet = connect(clients, plan.prefix)
    models = trained(clients, plan, fleet, view, clock)
    with clock.timed("first"):
        first = landed(fleet, FIRST, models[FIRST], view)
    with Load(fleet) as load:
        with clock.timed("second"):
            second = landed(fleet, SECOND, models[SECOND], view, load)
        with clock.timed("refusal"):
            refused = turned_away(fleet, impostor(models[SECOND], plan.folder / f"{BAD}.tar.gz"), view, load)
    what = f"{sum(load.answered.values())} requests were answered meanwhile"
    view.step(f"{what}, {len(load.failures)} failed")
    return Result(
        url=fleet.place.url,
        answers=(first, second),
        refused=refused,
        answered=load.answered,
        failures=tuple(load.failures),
        seconds=clock.total(),
    )


def trained(clients: Clients, plan: Plan, fleet: Fleet, view: View, clock: Clock) -> dict[str, Path]:
    """Train the models, unless they are there."""
    school = School(clients=clients, prefix=plan.prefix, image=fleet.image())
    steps = " and ".join(f"{each.name} ({each.steps} steps)" for each in APPRENTICES)
    with clock.timed("training"), view.during(f"Two GPT-Neo models are trained: {steps}"):
        models = school.train(APPRENTICES, plan.folder)
    view.step(f"Two models in {plan.folder}: {steps}")
    return models


def landed(fleet: Fleet, name: str, path: Path, view: View, load: Load | None = None) -> Answer:
    """Let a model land, and ask it once it serves."""
    landing, seconds = dropped(fleet, name, path, view, load)
    if landing.status != words.SERVING:
        raise Problem(f"the fleet did not take {name}: {landing.reason or landing.status}")
    view.step(f"{name} serves, {seconds:.0f} s after it landed")
    answer = fleet.ask(REQUEST)
    return Answer(model=answer["model"]["name"], text=answer["completions"][0]["text"], seconds=seconds)


def turned_away(fleet: Fleet, path: Path, view: View, load: Load) -> Landing:
    """Let something land that is no model, and see that it never takes traffic."""
    landing, _ = dropped(fleet, BAD, path, view, load)
    if landing.status != words.REFUSED:
        raise Problem(f"the fleet took {BAD}, whose weights mean nothing")
    view.step(f"{BAD} was refused: {landing.reason}")
    serving = fleet.status().serving
    view.step(f"{serving['name'] if serving else 'nothing'} goes on serving")
    return landing


def dropped(fleet: Fleet, name: str, path: Path, view: View, load: Load | None) -> tuple[Landing, float]:
    """Drop an archive into the bucket and watch until it is known what becomes of it."""
    version = fleet.put(path, name)
    view.step(f"{name} landed in s3://{fleet.place.bucket}/{words.key(name)}")
    began = time.monotonic()

    def show() -> None:
        view.scene(
            Scene(
                status=fleet.status(),
                answered=dict(load.answered) if load else {},
                failures=len(load.failures) if load else 0,
                seconds=time.monotonic() - began,
            )
        )

    landing = fleet.settled(name, version, patience=PATIENCE, each=show)
    show()
    return landing, time.monotonic() - began
