"""A whole installation for tests: a cloud with the stacks deployed, and a repository to push to it."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import git

from atelier import demo, deploy
from atelier.cli.connect import reached
from atelier.client import completions, datasets, repositories
from atelier.client.following import Asked, follow
from atelier.client.models import Models, Version
from atelier.client.outputs import output
from atelier.client.pipelines import Execution, Pipelines
from atelier.client.session import Clients

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ("images/training/publish.py", "images/training/choose_lock.py")
PARTS = ("src", "lambdas", "templates", "pipelines", "buildspecs", "requirements", *SCRIPTS)
TINY = Path(__file__).parent / "tiny_model.py"
IMAGE = Path("images/training/gpt_neo")
INSTALL = "python -m pip install"
PIPELINE = "atelier-training"
STARTUP_SECONDS = "60"
DOCKERFILE = """\
FROM python:3.11-slim-bookworm
WORKDIR /opt/program
COPY tiny_model.py tiny_model.py
ENV PYTHONUNBUFFERED=1
ENTRYPOINT ["python", "tiny_model.py"]
"""


@dataclass
class Workshop:
    """An installation and its repository; every method does what a person would do."""

    clients: Clients
    folder: Path
    home: Path | None = None
    first: Execution | None = None
    version: Version | None = None
    said: str = ""

    @property
    def data(self) -> Path:
        return self.folder.parent / "data"

    @property
    def pipelines(self) -> Pipelines:
        return Pipelines(clients=self.clients)

    @property
    def models(self) -> Models:
        return Models(clients=self.clients)

    @property
    def api(self) -> completions.Api:
        return completions.published(self.clients)

    def commit(self, **constants: object) -> str:
        """Commit the tiny model with these constants, otherwise sound and as good as what serves."""
        sound = {"BITS_PER_BYTE": self.serving().bits_per_byte, "ANSWERS_PING": True}
        constants = {**sound, **constants}
        path = self.folder / IMAGE / TINY.name
        lines = [_changed(line, constants) for line in path.read_text().splitlines(keepends=True)]
        path.write_text("".join(lines))
        return self.commit_all("Change the model")

    def change(self, name: str, old: str, new: str) -> str:
        """Commit a change of one file."""
        path = self.folder / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        return self.commit_all(f"Change {name}")

    def commit_all(self, subject: str) -> str:
        with git.Repo(self.folder) as repository:
            repository.git.add("--all")
            repository.git.commit("--quiet", "--allow-empty", "--message", subject)
            return str(repository.head.commit.hexsha)

    def push(self) -> str:
        """Push the head and return the run that this starts."""
        before = self.pipelines.latest(PIPELINE)
        pushed = repositories.push(self.clients, self.folder, repositories.source(self.clients, PIPELINE))
        assert pushed.is_news
        return demo.started(self.pipelines, PIPELINE, before, pushed.after)

    def run(self, run: str, *, approve: bool | None = True, comment: str = "as it should be") -> Execution:
        """Follow a run to its end, or to its approval when *approve* is None."""
        for event in follow(self.clients, PIPELINE, run, every=0.2):
            if isinstance(event, Asked):
                if approve is None:
                    return event.execution
                self.pipelines.decide(PIPELINE, approve=approve, comment=comment, execution_id=run)
        return event.execution

    def serving(self) -> Version:
        """The version that serves, by the registry."""
        return next(each for each in self.models.versions() if each.is_serving)

    def answer(self) -> str:
        """What the published model says."""
        return str(completions.complete(self.api, {"prompt": "Say"})["completions"][0]["text"])


def _changed(line: str, constants: dict[str, object]) -> str:
    name = line.partition(" = ")[0]
    return f"{name} = {constants[name]!r}\n" if name in constants else line


def make(connection: Any, folder: Path) -> Workshop:
    """Deploy the stacks, upload a little text, and make a repository of the product with the tiny model."""
    clients = reached(connection)
    deploy.deploy(clients, prefix="atelier", order=("storage", "shared-models"))
    bucket = output(clients, "atelier-shared-models", "ModelsBucketName")
    chosen = {"StartupSeconds": STARTUP_SECONDS, "FleetBucketName": bucket}
    deploy.deploy(clients, prefix="atelier", parameters=chosen)
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "text.txt").write_text("Call me Ishmael. " * 200)
    datasets.upload(clients, output(clients, "atelier-storage", "DataBucketName"), folder / "data")
    return Workshop(clients=clients, folder=repository(folder / "work"))


def repository(folder: Path) -> Path:
    """Make a repository of what a build needs, with the tiny model in the place of GPT-Neo."""
    copy(folder, *PARTS)
    (folder / IMAGE).mkdir(parents=True)
    shutil.copy2(TINY, folder / IMAGE / TINY.name)
    (folder / IMAGE / "Dockerfile").write_text(DOCKERFILE)
    _borrow_packages(folder / "buildspecs" / "training.yml")
    return begin(folder)


def copy(folder: Path, *parts: str) -> Path:
    """Copy the work tree's files of these folders, those included that are not committed yet."""
    folder.mkdir(parents=True)
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *parts],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if not (ROOT / name).is_symlink() and not (ROOT / name).exists():
            continue  # deleted, and not committed yet
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    return folder


def begin(folder: Path) -> Path:
    """Make a repository of a folder."""
    with git.Repo.init(folder, initial_branch="main") as made:
        with made.config_writer() as config:
            config.set_value("user", "name", "Tester").set_value("user", "email", "tester@example.invalid")
        made.git.add("--all")
        made.git.commit("--quiet", "--message", "Begin")
    return folder


def _borrow_packages(buildspec: Path) -> None:
    """Let the build use the packages that run this test: it installs nothing and is over in seconds."""
    lines = buildspec.read_text().splitlines(keepends=True)
    packages = sysconfig.get_path("purelib")
    text = "".join("      - true\n" if INSTALL in line else line for line in lines)
    buildspec.write_text(text.replace("PYTHONPATH: src", f"PYTHONPATH: src:{packages}"))
