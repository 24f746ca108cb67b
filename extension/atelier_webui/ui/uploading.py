"""An upload as a page sees it: its progress, again and again, until it is there or cut."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Thread
from typing import Any, NamedTuple, Protocol

from atelier_webui import host
from atelier_webui.desk import Desk
from atelier_webui.errors import Problem
from atelier_webui.ui import words

EVERY = 0.3


class Transfer(Protocol):
    """What is sent, and can be stopped and go on."""

    def run(self) -> str:
        """Send what is not there yet; raise Problem when it is cut."""

    def stop(self) -> None:
        """End `run` soon."""

    def discard(self) -> bool:
        """Delete what was sent; return whether there was anything."""


class Sent(NamedTuple):
    """How many bytes there were, of how many, at a time."""

    at: float
    done: int
    total: int


@dataclass
class Uploading:
    """One upload that belongs to one page; it goes on where it was cut when the same is asked for again."""

    wanted: tuple[object, ...]
    upload: Transfer | None = None
    is_there: bool = False
    is_running: bool = False
    is_discarded: bool = False
    problem: Problem | None = None
    sent: tuple[Sent, Sent] | None = None
    """The first and the last that was told of its progress."""

    @classmethod
    def of(cls, desk: Desk, account: str, kind: Any, names: tuple[str, ...], remark: str) -> Uploading:
        """Prepare the upload of files by their names in this WebUI's folders; `run` says what is wrong."""
        from atelier_webui.uploads import Upload

        here = host.local_checkpoints(kind)
        new = cls(wanted=(account, kind, names, remark))
        paths = [here[name] for name in names if name in here]
        if paths and len(paths) == len(names):
            try:
                new.upload = Upload(desk.client(account), paths, kind, message=remark, show=new.show)
            except Problem as problem:
                new.problem = problem
        return new

    def can_go_on(self, other: Uploading) -> bool:
        """Say whether what was begun here is what is asked for now."""
        return self.wanted == other.wanted and not self.is_there and self.upload is not None

    def run(self) -> Iterator[str]:
        """Upload, and yield lines for the page."""
        if self.upload is None:
            yield words.problem(self.problem or Problem("Choose at least one file first."))
            return
        if self.is_running:
            yield words.note("This upload is under way already.")
            return
        self.problem, self.sent, self.is_running, self.is_discarded = None, None, True, False
        thread = Thread(target=self._work, args=(self.upload,), name="atelier-upload", daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(EVERY)
            yield self._line()
        yield self._end()

    def stop(self) -> None:
        """End it soon; it can go on later."""
        if self.upload is not None:
            self.upload.stop()

    def discard(self) -> bool:
        """Delete what was uploaded; return whether there was anything."""
        self.is_discarded = True
        return self.upload is not None and self.upload.discard()

    def _work(self, upload: Transfer) -> None:
        try:
            upload.run()
            self.is_there = True
        except Problem as problem:
            self.problem = problem
        finally:
            self.is_running = False

    def show(self, done: int, total: int) -> None:
        """Be told how far it is."""
        now = Sent(time.monotonic(), done, total)
        self.sent = (self.sent[0] if self.sent else now), now

    def _line(self) -> str:
        if self.sent is None:
            return words.progress(0, 1, "Beginning…")
        first, last = self.sent
        seconds = last.at - first.at
        speed = (last.done - first.done) / seconds if seconds else 0.0
        told = f"{words.size(last.done)} of {words.size(last.total)}, {words.size(speed)} a second"
        return words.progress(last.done, last.total, told)

    def _end(self) -> str:
        if self.is_there:
            return words.note("It is in the cloud.")
        if self.is_discarded:
            return words.note("The upload was stopped, to be discarded.")
        why = self.problem or Problem("The upload broke off.")
        return words.problem(Problem(f"{why} Press Upload to go on where it was cut."))
