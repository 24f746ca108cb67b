"""The serving containers of one deployment: as many instances as are wanted, and who gets a request."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from atelier.cloud.context import Cloud
from atelier.cloud.services.sagemaker.access import Access
from atelier.cloud.services.sagemaker.instance import Closed, Instance, Unhealthy, remove
from atelier.cloud.services.sagemaker.settings import Settings
from atelier.cloud.services.sagemaker.storage import download, unpack

__all__ = ["Closed", "Fleet", "Unhealthy", "home", "remove"]


class Fleet:
    """The instances of a deployment. *deployment* is what the endpoint's record says of it."""

    def __init__(self, cloud: Cloud, settings: Settings, endpoint: str, deployment: dict[str, Any]) -> None:
        self.id: str = deployment["Id"]
        self.variant: str = deployment["VariantName"]
        self.is_asynchronous = "AsyncInferenceConfig" in deployment
        self.access = Access(cloud, deployment["ExecutionRoleArn"], f"{endpoint}-{self.id}"[:64])
        self._cloud = cloud
        self._settings = settings
        self._endpoint = endpoint
        self._deployment = deployment
        self._folder = home(cloud, endpoint) / self.id
        self._instances: list[Instance] = []
        self._opening: list[Instance] = []
        self._lock = threading.Lock()
        self._resizing = threading.Lock()
        self._closing = threading.Event()

    def open(self) -> None:
        """Fetch the model and start every instance; raise what went wrong."""
        self._fetch()
        self.resize(self._deployment.get("InstanceCount", 1))

    def size(self) -> int:
        """Return how many instances take requests."""
        return len(self._instances)

    def resize(self, count: int) -> None:
        """Start or end instances until there are *count*; those that have requests finish them."""
        with self._resizing:
            missing = count - len(self._instances)
            if missing > 0:
                self._start(missing)
            elif missing < 0:
                self._end(-missing)

    @contextmanager
    def request(self) -> Iterator[int | None]:
        """Lend a port for one request (None: no container is up); raise Closed after the drain began."""
        instance = self._idlest()
        if instance is None:
            if self._closing.is_set():
                raise Closed
            yield None
            return
        with instance.request() as port:
            yield port

    def claim(self, limit: int) -> Instance | None:
        """Reserve a place at an instance that is up and has fewer than *limit* requests, if there is one."""
        with self._lock:
            instance = self._idlest()
            if instance is None or instance.port is None or instance.load() >= limit:
                return None
            try:
                instance.claim()
            except Closed:
                return None
            return instance

    def log_stream_arn(self) -> str:
        """Return where the containers' logs are; the first instance's, as long as there is none else."""
        return (self._instances or [self._instance(0)])[0].log_stream_arn()

    def cancel(self) -> None:
        """Let an `open` in another thread end soon, unhealthy."""
        self._closing.set()
        with self._lock:
            opening = list(self._opening)
        for instance in opening:
            instance.cancel()

    def close(self, *, grace: float | None = None, drain: float | None = None, keep: bool = False) -> None:
        """Finish the requests that run, stop the containers; with *keep* the model stays on disk."""
        self.cancel()
        with self._lock:
            instances, self._instances = self._instances, []
        _all(self._cloud, [lambda each=each: each.close(grace=grace, drain=drain) for each in instances])
        if not keep:
            remove(self._folder)

    def _idlest(self) -> Instance | None:
        return min(self._instances, key=lambda each: (each.port is None, each.load()), default=None)

    def _instance(self, number: int) -> Instance:
        return Instance(
            self._cloud,
            self._settings,
            self._endpoint,
            self._deployment,
            number=number,
            access=self.access,
            model=self._folder / "model",
        )

    def _start(self, count: int) -> None:
        """Start instances side by side: those that are healthy stay, should others fail."""
        with self._lock:
            self._check()
            taken = {each.number for each in self._instances}
            free = [number for number in range(len(taken) + count) if number not in taken]
            self._opening = [self._instance(number) for number in free[:count]]
        errors: list[Exception] = []
        _all(self._cloud, [lambda each=each: self._open(each, errors) for each in self._opening])
        if errors:
            raise errors[0]

    def _open(self, instance: Instance, errors: list[Exception]) -> None:
        try:
            instance.open()
            with self._lock:
                self._check()
                self._opening.remove(instance)
                self._instances.append(instance)
        except Exception as error:  # raised again by `_start`, which waits for this thread
            errors.append(error)
            instance.close(grace=self._settings.shutdown_grace)

    def _end(self, count: int) -> None:
        """Take the instances with the fewest requests out of service, the newest first."""
        with self._lock:
            order = sorted(self._instances, key=lambda each: (each.load(), -each.number))
            ending = order[:count]
            self._instances = [each for each in self._instances if each not in ending]
        drain = self.patience()
        _all(self._cloud, [lambda each=each: each.close(drain=drain) for each in ending])

    def patience(self) -> float:
        """Return how long a request may go on when its instance is to end."""
        return self._settings.async_drain_timeout if self.is_asynchronous else self._settings.drain_timeout

    def _fetch(self) -> None:
        """Bring the model to disk, unless an earlier run of the cloud did."""
        model = self._folder / "model"
        if model.exists():
            return
        making = self._folder / "model.part"
        remove(making)
        making.mkdir(parents=True)
        if url := self._deployment.get("ModelDataUrl"):
            archive = self._folder / "model.tar.gz"
            with self.access.client("s3") as s3:
                download(s3, url, archive, check=self._check)
            unpack(archive, making)
            archive.unlink()
        seal(making)
        making.rename(model)

    def _check(self) -> None:
        if self._closing.is_set():
            raise Unhealthy("the local cloud was stopped during the deployment")


def _all(cloud: Cloud, works: list[Any]) -> None:
    """Run *works* side by side and wait for their ends."""
    threads = [cloud.spawn(work) for work in works]
    for thread in threads:
        thread.join()


def home(cloud: Cloud, endpoint: str) -> Path:
    """Return the folder of an endpoint's deployments."""
    return cloud.home / "sagemaker" / "endpoints" / endpoint


def seal(folder: Path) -> None:
    """Make a folder read-only, as SageMaker mounts a model."""
    for path in [*folder.rglob("*"), folder]:
        if not path.is_symlink():
            path.chmod(0o555 if path.is_dir() else 0o444)
