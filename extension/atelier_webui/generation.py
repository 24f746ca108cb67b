"""Generation: a form goes to the cloud, and its images come back, while somebody watches.

Nothing here blocks for longer than a fifth of a second: every call runs on a thread of its own, and meanwhile
the Interrupt button is watched. A job whose submission was interrupted is cancelled once its id is known.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar

from atelier_webui import errands, results
from atelier_webui.errors import JobFailed, Problem, Refusal, Stopped, Unreachable
from atelier_webui.forms import Form
from atelier_webui.jobs import ENDED, Choice, Jobs, Order
from atelier_webui.results import Picture, Result

if TYPE_CHECKING:
    from atelier_webui.contract.api.inferences import InferenceDetail

TICK = 0.2
FIRST_PAUSE, LONGEST_PAUSE = 0.3, 1.0
"""Seconds between two looks at a job: together with a look they stay below one and a half."""

PATIENCE = 15 * 60.0
"""Seconds without an answer after which a connection is given up; the jobs go on."""

LATER = frozenset({429, 500, 502, 503, 504})
GONE = frozenset({"Deleting", "Failed"})
CANCEL_SECONDS = 3.0
ENDPOINT_EVERY = 10.0

Given = ParamSpec("Given")
Outcome = TypeVar("Outcome")


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far it is: words for the progress bar, how many images there are, and of how many."""

    text: str
    done: int = 0
    total: int = 1


class Watch(Protocol):
    """Who watches: the WebUI's shared state; asked five times a second, by the thread of `generate`."""

    def interrupted(self) -> bool:
        """Say whether Interrupt was asked for."""
        ...

    def skipped(self) -> bool:
        """Say whether Skip was asked for since this was last called, and forget it."""
        ...

    def show(self, progress: Progress) -> None:
        """Show how far it is."""
        ...


@dataclass(frozen=True)
class Clock:
    """Where time comes from."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def generate(form: Form, choice: Choice, *, jobs: Jobs, watch: Watch, clock: Clock | None = None) -> Result:
    """Have a form made and return its images.

    Interrupt cancels what is not finished and returns what is; Skip cancels the part that is waited for. A
    lost connection is waited for. Raise JobFailed with the cloud's reason when there is no image at all.
    """
    making = Making(jobs=jobs, watch=watch, total=form.count, clock=clock or Clock())
    try:
        making.submit(form, choice)
        making.collect()
    except Stopped:
        making.cancel_rest()
        making.comments.append("Interrupted.")
    except Problem as error:
        making.cancel_rest()
        if not making.pictures:
            raise
        making.comments.append(str(error))
    return making.result()


@dataclass(kw_only=True)
class Making:
    """What one request has come to."""

    jobs: Jobs
    watch: Watch
    total: int
    clock: Clock
    waiting: dict[str, Order] = field(default_factory=dict)
    """The jobs that are not over, in the order of their images."""

    done: list[str] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    info: Mapping[str, object] = field(default_factory=dict)
    comments: list[str] = field(default_factory=list)
    is_skipping: bool = False

    def submit(self, form: Form, choice: Choice) -> None:
        """Submit every part; each runs as soon as it is there."""
        self.show("Asking the cloud")
        for order in self.run(self.jobs.orders, form, choice):
            sending = errands.begin(self.jobs.send, order)
            try:
                self.waiting[self.wait(sending)] = order
            except Stopped:
                sending.add_done_callback(self._cancel_late)
                raise

    def collect(self) -> None:
        """Wait for each part and take its images."""
        while self.waiting:
            id, order = next(iter(self.waiting.items()))
            job = self._ended(id)
            if job.status == "succeeded":
                found = self.run(results.fetch, job, self.jobs.client, order.form)
                self.pictures += found.pictures
                self.info = self.info or found.info
                self.done.append(id)
            del self.waiting[id]

    def _ended(self, id: str) -> InferenceDetail:
        """Return a job at its end; one that was skipped is cancelled, another that is fails."""
        follower = Follower(self, id)
        while True:
            job = follower.look()
            if job.status in ENDED:
                break
            if self.is_skipping:
                self.is_skipping = False
                self.run(self.jobs.cancel, id)
                self.comments.append(f"Skipped job {id}.")
                return job
            follower.rest()
        if job.status != "succeeded":
            del self.waiting[id]
            raise JobFailed(id, reason(job))
        return job

    def run(self, call: Callable[Given, Outcome], *args: Given.args, **more: Given.kwargs) -> Outcome:
        """Return what a call comes to, watching meanwhile."""
        return self.wait(errands.begin(call, *args, **more))

    def wait(self, errand: Future[Outcome]) -> Outcome:
        """Return what an errand comes to, watching meanwhile; raise Stopped on Interrupt."""
        while True:
            self.look_up()
            try:
                return errand.result(timeout=TICK)
            except NotYet:
                if errand.done():  # it ended just now, or what it raised is of this kind
                    return errand.result()

    def look_up(self) -> None:
        """See what the person wants."""
        if self.watch.interrupted():
            raise Stopped("Interrupted.")
        self.is_skipping = self.watch.skipped() or self.is_skipping

    def pause(self, seconds: float) -> None:
        """Let time pass, watching."""
        until = self.clock.now() + seconds
        while (left := until - self.clock.now()) > 0:
            self.look_up()
            self.clock.sleep(min(TICK, left))

    def show(self, text: str) -> None:
        """Tell the person."""
        self.watch.show(Progress(text=text, done=len(self.pictures), total=self.total))

    def cancel_rest(self) -> None:
        """Cancel what is not over; wait for the cloud's word a moment, not longer."""
        rest = list(self.waiting)
        if rest:
            cancelling = errands.begin(self._cancel, rest)
            with suppress(NotYet):
                cancelling.result(timeout=CANCEL_SECONDS)

    def _cancel(self, ids: Sequence[str]) -> None:
        for each in ids:
            with suppress(Problem):
                self.jobs.cancel(each)

    def _cancel_late(self, sending: Future[str]) -> None:
        if sending.exception() is None:
            self._cancel([sending.result()])

    def result(self) -> Result:
        """Return what there is."""
        few = f"{len(self.pictures)} of {self.total} images." if len(self.pictures) < self.total else ""
        comment = " ".join([*self.comments, few] if self.comments else [])
        return Result(
            pictures=tuple(self.pictures), info=self.info, jobs=tuple(self.done), comment=comment.strip()
        )


class Follower:
    """Looks at one job again and again, through lost connections."""

    def __init__(self, making: Making, id: str) -> None:
        self._making = making
        self._client = making.jobs.client
        self._id = id
        self._pause = FIRST_PAUSE
        self._began = self._heard = self._checked = making.clock.now()
        self._may_check = True
        self._state = ""

    def look(self) -> InferenceDetail:
        """Return the job as it is now."""
        job = self._seen()
        if job.status not in ENDED and self._is_in_vain(job.params.sagemaker_inference_endpoint_name):
            job = self._seen()
            if job.status not in ENDED:
                place = job.params.sagemaker_inference_endpoint_name
                raise JobFailed(self._id, f"Endpoint {place} was deleted or failed while the job waited.")
        self._tell(job)
        return job

    def _seen(self) -> InferenceDetail:
        while True:
            try:
                job = self._making.run(self._client.inference, self._id)
            except (Unreachable, Refusal) as error:
                self._bear(error)
            else:
                self._heard = self._making.clock.now()
                return job

    def _bear(self, error: Unreachable | Refusal) -> None:
        """Wait a while when that helps; else raise."""
        if isinstance(error, Refusal) and error.status == 404:
            raise JobFailed(self._id, "The job was deleted.") from None
        if isinstance(error, Refusal) and error.status not in LATER:
            raise error
        if self._making.clock.now() - self._heard > PATIENCE:
            # not one of those that are cancelled now: it goes on, as is said
            self._making.waiting.pop(self._id, None)
            raise Unreachable(f"{error}. Job {self._id} goes on: look in the Atelier tab.") from None
        self._making.show(f"{error}. Trying again")
        self._making.pause(LONGEST_PAUSE)

    def _is_in_vain(self, place: str) -> bool:
        """Say whether nobody is left to do the job; the cloud itself says so minutes later."""
        now = self._making.clock.now()
        if not self._may_check or now - self._checked < ENDPOINT_EVERY:
            return False
        self._checked = now
        try:
            listed = self._making.run(self._client.endpoints)
        except Refusal as error:
            self._may_check = error.status in LATER
            return False
        except Problem:
            return False
        found = next((each for each in listed if each.endpoint_name == place), None)
        self._state = ", which wakes up" if found and found.current_instance_count == "0" else ""
        return found is None or found.endpoint_status in GONE

    def _tell(self, job: InferenceDetail) -> None:
        place = job.params.sagemaker_inference_endpoint_name
        seconds = int(self._making.clock.now() - self._began)
        self._making.show(f"In the cloud on {place}{self._state}, {seconds} s")

    def rest(self) -> None:
        """Wait until the next look."""
        self._making.pause(self._pause)
        self._pause = min(LONGEST_PAUSE, self._pause * 1.2)


def reason(job: InferenceDetail) -> str:
    """Return why a job came to nothing, in the cloud's words."""
    raw = job.sagemakerRaw or {}
    words = job.more.get("error") or raw.get("failureReason")
    if job.status == "cancelled":
        return "The job was cancelled."
    return str(words or f"The job {job.status} and gave no reason.")
