"""An installation that follows a stand-in for the upstream WebUI, and launches what it builds of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import git
import workshop as shop
from click.testing import CliRunner, Result
from standin_upstream import BASE, Upstream, base_image

from atelier import demo, deploy
from atelier.cli.connect import reached
from atelier.cli.main import cli
from atelier.client import repositories
from atelier.client.images import ENDPOINTS
from atelier.client.outputs import output
from atelier.client.pipelines import Execution, Pipelines
from atelier.client.session import Clients
from atelier.client.webui import Build, Look, WebUI
from atelier.cloud.gateway import launch

PIPELINE = "atelier-webui"
PARTS = ("extension", "images/webui", "images/training", "buildspecs")
NO_IMAGE = f"127.0.0.1:1/none@sha256:{'0' * 64}"
"""Endpoints are not made here, so that theirs need not be built."""
CHOSEN = {"WebuiBaseImage": BASE}
PATIENCE = 1500
"""Seconds; a machine that has other things to do takes long."""


@dataclass
class WebuiWorkshop:
    """The installation; every method does what a person would do."""

    clients: Clients
    home: Path
    folder: Path
    upstream: Upstream
    first: Execution = field(init=False)
    refused: Result = field(init=False)

    @property
    def webui(self) -> WebUI:
        return WebUI(clients=self.clients)

    @property
    def pipelines(self) -> Pipelines:
        return Pipelines(clients=self.clients)

    @property
    def uri(self) -> str:
        """The repository of the images."""
        return output(self.clients, "atelier-webui-state", "WebuiRepositoryUri")

    def atelier(self, *words: str) -> Result:
        """Call the command."""
        return CliRunner().invoke(cli, words, obj=self.clients)

    def says(self, *words: str) -> Any:
        """Call the command, which succeeds, and return the document that it prints."""
        result = self.atelier(*words, "--json")
        assert 0 == result.exit_code, result.output
        return json.loads(result.stdout)

    def commit(self, name: str, content: str | bytes) -> str:
        """Commit one file to our own repository."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with git.Repo(self.folder) as repository:
            repository.git.add("--all")
            repository.git.commit("--quiet", "--message", f"Change {name}")
            return str(repository.head.commit.hexsha)

    def push(self) -> None:
        """Push our own repository's head."""
        source = repositories.source(self.clients, PIPELINE)
        assert repositories.push(self.clients, self.folder, source).is_news

    def started(self, before: str | None) -> str:
        """Return the run that begins by itself."""
        return demo.started(self.pipelines, PIPELINE, before, "what was pushed")

    def look(self) -> Look:
        """Look upstream now."""
        return self.webui.track()

    def settled(self, run: str) -> Execution:
        """Wait for a run's end, or for its approval."""
        return eventually(
            lambda: self.pipelines.execution(PIPELINE, run), lambda now: now.has_ended or now.waiting
        )

    def recorded(self, run: str, *status: str) -> Build:
        """Wait until the history says of a run that it has such a status."""
        return eventually(lambda: self.build(run), lambda now: now is not None and now.status in status)

    def recorded_of(self, commit: str) -> Build:
        """Wait until the history knows of an upstream commit."""
        found = eventually(
            lambda: [each for each in self.webui.history() if each.upstream == commit], lambda now: now
        )
        return found[-1]

    def look_every(self, rate: str) -> None:
        """Deploy the pipeline again, with another rate of looks upstream."""
        deploy.deploy(
            self.clients, prefix="atelier", parameters={**CHOSEN, "UpstreamRate": rate}, order=deploy.WEBUI
        )

    def build(self, run: str) -> Build | None:
        """What the history says of a run."""
        return next((each for each in self.webui.history() if each.run == run), None)


def eventually(look: Callable[[], Any], is_so: Callable[[Any], Any], patience: float = PATIENCE) -> Any:
    """Return what *look* sees once it is so."""
    deadline = time.monotonic() + patience
    while not is_so(found := look()):
        assert time.monotonic() < deadline, found
        time.sleep(0.3)
    return found


def make(place: Path) -> WebuiWorkshop:
    """Deploy the middleware and the WebUI's pipeline on Docker; nothing was pushed yet."""
    upstream = Upstream(place)
    (place / "home").mkdir()
    (place / "home" / "ec2.json").write_text('{"instances": 1}')
    clients = reached(launch.start(place / "home", engine="docker"))
    base_image()
    order = tuple(dict.fromkeys((*deploy.MIDDLEWARE, *deploy.WEBUI)))
    chosen = {**CHOSEN, ENDPOINTS.parameter: NO_IMAGE}
    deploy.deploy(clients, prefix="atelier", parameters=chosen, order=order)
    folder = shop.copy(place / "work", *PARTS)
    upstream.declare(folder)
    return WebuiWorkshop(clients=clients, home=place / "home", folder=shop.begin(folder), upstream=upstream)
