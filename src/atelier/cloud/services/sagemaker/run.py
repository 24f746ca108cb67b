"""One training job, from its data to its model: what SageMaker does around ``docker run image train``."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from atelier.cloud.context import Cloud, Container, Fault, Refused, Running
from atelier.cloud.services.sagemaker import network
from atelier.cloud.services.sagemaker.access import Access, RoleError
from atelier.cloud.services.sagemaker.capacity import size_of
from atelier.cloud.services.sagemaker.images import Image, ImageError, resolve
from atelier.cloud.services.sagemaker.journal import Journal
from atelier.cloud.services.sagemaker.layout import HOST, Layout
from atelier.cloud.services.sagemaker.metrics import Metrics
from atelier.cloud.services.sagemaker.service import REASON_LIMIT
from atelier.cloud.services.sagemaker.settings import Settings
from atelier.cloud.services.sagemaker.storage import Mirror, StorageError, download_all, pack, upload
from atelier.cloud.store import Record

TAIL_LINES = 8
LOG_PATIENCE = 30.0
POLL = 0.2
LOGS = "/aws/sagemaker/TrainingJobs"

logger = logging.getLogger(__name__)


class Cancelled(Exception):
    """The job was asked to end before its container ran."""


class Failed(Exception):
    """The job failed; the text is its reason."""


class Run:
    """A training job in progress."""

    def __init__(self, cloud: Cloud, settings: Settings, record: Record) -> None:
        self.name: str = record["TrainingJobName"]
        self.metrics = Metrics(self.name, record["AlgorithmSpecification"].get("MetricDefinitions", []))
        self._cloud = cloud
        self._settings = settings
        self._record = record
        self._access = Access(cloud, record["RoleArn"], self.name)
        self._journal = Journal(cloud, self.name)
        self._folder = cloud.home / "sagemaker" / "training" / self.name
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._aborted: str | None = None
        self._is_overdue = False
        self._artifacts: dict[str, str] = {}
        self.ended = threading.Event()

    def begin(self) -> threading.Thread:
        """Start the job in the background."""
        self._journal.publish(self._journal.enter("Starting"))
        return self._cloud.spawn(self._go)

    def stop(self) -> None:
        """Ask the job to end; what it has made is kept."""
        with self._lock:
            if self.ended.is_set() or self._stopping.is_set():
                return
            self._stopping.set()
            record = self._journal.enter("Stopping", TrainingJobStatus="Stopping")
        self._journal.publish(record)

    def abort(self, reason: str) -> None:
        """End the job for good, as failed."""
        self._aborted = reason
        self._stopping.set()

    def _go(self) -> None:
        status, secondary, reason = self._outcome()
        shutil.rmtree(self._folder, ignore_errors=True)
        values = {"FinalMetricDataList": self.metrics.latest(), "ModelArtifacts": self._artifacts}
        with self._lock:
            try:
                record = self._journal.end(status, secondary, self._aborted or reason, **values)
            finally:
                self.ended.set()
        self._journal.publish(record)

    def _outcome(self) -> tuple[str, str, str | None]:
        try:
            self._work()
        except Cancelled:
            pass
        except Failed as failure:
            return "Failed", "Failed", str(failure)
        except (RoleError, ImageError, StorageError, Refused) as error:
            return "Failed", "Failed", f"ClientError: {error}"
        except Exception:  # the edge: a job never stays in progress; the text of the unexpected stays here
            logger.exception("training job %s broke", self.name)
            return "Failed", "Failed", "InternalServerError: the local cloud failed; see `atelier logs`"
        if self._aborted:
            return "Failed", "Failed", self._aborted
        if self._is_overdue:
            return "Stopped", "MaxRuntimeExceeded", None
        return ("Stopped", "Stopped", None) if self._stopping.is_set() else ("Completed", "Completed", None)

    def _work(self) -> None:
        image = self._image()
        self._cloud.engine.pull(image.resolved, self._access.login, check=self._check)
        self._phase("Downloading")
        layout = Layout(self._folder / "ml", self._record)
        self._download(layout)
        mirror = self._restore(layout)
        self._phase("Training")
        with self._synchronised(mirror):
            code, fault = self._contain(image, layout)
        if self._aborted:
            return
        is_asked = self._stopping.is_set() or self._is_overdue
        failure = Failed(self._reason(code, fault, layout)) if code and not is_asked else None
        try:
            self._push(mirror)
            self._upload(layout.output, "output.tar.gz")
        except StorageError:
            if failure is None:
                raise
            logger.exception("what training job %s left could not be kept", self.name)
        if failure is not None:
            raise failure
        self._upload_model(layout)

    def _phase(self, secondary: str) -> None:
        with self._lock:
            self._check()
            record = self._journal.enter(secondary)
        self._journal.publish(record)

    def _check(self) -> None:
        if self._stopping.is_set():
            raise Cancelled

    def _image(self) -> Image:
        with self._access.client("ecr") as ecr:
            return resolve(ecr, self._record["AlgorithmSpecification"]["TrainingImage"])

    def _download(self, layout: Layout) -> None:
        for channel in self._record.get("InputDataConfig", []):
            if network.source(channel):
                continue
            uri = channel["DataSource"]["S3DataSource"]["S3Uri"]
            folder = layout.channel(channel["ChannelName"])
            folder.mkdir(parents=True)
            with self._access.client("s3") as s3:
                if not download_all(s3, uri, folder, check=self._check):
                    raise StorageError(
                        f"No S3 objects found under S3 URL {uri} given in input data source"
                        f" {channel['ChannelName']}"
                    )

    def _restore(self, layout: Layout) -> Mirror | None:
        if layout.checkpoints is None:
            return None
        mirror = Mirror(layout.checkpoints, self._record["CheckpointConfig"]["S3Uri"])
        with self._access.client("s3") as s3:
            mirror.restore(s3, check=self._check)
        return mirror

    @contextmanager
    def _synchronised(self, mirror: Mirror | None) -> Iterator[None]:
        """Copy checkpoints and metrics out while the body runs."""
        over = threading.Event()
        thread = self._cloud.spawn(self._synchronise, mirror, over)
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _synchronise(self, mirror: Mirror | None, over: threading.Event) -> None:
        while not over.wait(self._settings.sync_interval):
            try:
                self._push(mirror)
            except (StorageError, RoleError) as error:  # the copy at the end decides
                logger.warning("checkpoints of %s are behind: %s", self.name, error)

    def _push(self, mirror: Mirror | None) -> None:
        if self._aborted:
            return
        if self.metrics.is_pending():
            with self._access.client("cloudwatch") as cloudwatch:
                self.metrics.publish(cloudwatch)
        if mirror is not None and mirror.changed():
            with self._access.client("s3") as s3:
                mirror.push(s3)

    def _contain(self, image: Image, layout: Layout) -> tuple[int, Fault | None]:
        log = self._access.log(LOGS, f"{self.name}/{HOST}-{int(time.time())}")
        try:
            running = self._cloud.engine.start(self._container(image, layout, log))
            return self._wait(running), running.fault
        finally:
            log.close(self._settings.shutdown_grace if self._aborted else LOG_PATIENCE)

    def _container(self, image: Image, layout: Layout, log: Callable[[str], None]) -> Container:
        def line(text: str) -> None:
            self._tail.append(text)
            self.metrics.read(text)
            log(text)

        is_isolated = self._record["EnableNetworkIsolation"]
        environment = {
            **self._record.get("Environment", {}),
            **({} if is_isolated else self._access.environment()),  # as on SageMaker
            "TRAINING_JOB_NAME": self.name,
            "TRAINING_JOB_ARN": self._record["TrainingJobArn"],
        }
        return Container(
            name=f"training-{self.name}",
            image=image.resolved,
            arguments=("train",),
            environment=environment,
            root=layout.root,
            mounts=network.mounts(self._cloud, self._record),
            hostname=HOST,
            size=size_of(self._record["ResourceConfig"]["InstanceType"]),
            is_isolated=is_isolated,
            login=self._access.login,
            log=line,
        )

    def _wait(self, running: Running) -> int:
        deadline = time.monotonic() + self._record["StoppingCondition"]["MaxRuntimeInSeconds"]
        while (code := running.wait(POLL)) is None:
            self._is_overdue = time.monotonic() >= deadline
            if self._is_overdue or self._stopping.is_set():
                settings = self._settings
                return running.stop(settings.shutdown_grace if self._aborted else settings.training_grace)
        return code

    def _reason(self, code: int, fault: Fault | None, layout: Layout) -> str:
        if fault is not None and fault.is_platform:
            return f"InternalServerError: {fault.reason}"
        ending = f", exit code: {code if code > 0 else 128 - code}"
        said = fault.reason if fault is not None else layout.failure() or "\n".join(self._tail)
        return f"AlgorithmError: {said}"[: REASON_LIMIT - len(ending)] + ending

    def _upload_model(self, layout: Layout) -> None:
        with suppress(Cancelled):  # a job that is stopped keeps what it has made
            self._phase("Uploading")
        if uri := self._upload(layout.model, "model.tar.gz"):
            self._artifacts = {"S3ModelArtifacts": uri}

    def _upload(self, folder: Path, name: str) -> str | None:
        if not folder.is_dir() or not any(folder.iterdir()):
            return None
        base = self._record["OutputDataConfig"]["S3OutputPath"].rstrip("/")
        uri = f"{base}/{self.name}/output/{name}"
        archive = self._folder / name
        pack(folder, archive)
        with self._access.client("s3") as s3:
            upload(s3, archive, uri)
        return uri
