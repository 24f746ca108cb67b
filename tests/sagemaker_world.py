"""A SageMaker under test: the real S3 and logs of the local cloud, Python scripts in place of images."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fakes import FakeEvents, FakeIdentity, FakeMetrics

from atelier.cloud.context import Cloud, Container, Credentials, Fault, Login, Refused
from atelier.cloud.engines import mounts
from atelier.cloud.services.sagemaker.plugin import PLUGIN
from atelier.cloud.store import Store

REGISTRY = "000000000000.dkr.ecr.us-east-1.amazonaws.com"
ROLE = "arn:aws:iam::000000000000:role/trainer"

ECHO = """
import json, os, sys, http.server, pathlib, signal, time
base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
class Handler(http.server.BaseHTTPRequestHandler):
    def reply(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.reply(200, b"")
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if body == b"fail":
            return self.reply(500, b"the model broke")
        if body.startswith(b"sleep"):
            time.sleep(float(body[5:]))
        if body == b"pid":
            return self.reply(200, str(os.getpid()).encode())
        model = (base / "model" / "name").read_text() if (base / "model" / "name").exists() else ""
        self.reply(200, f"{VERSION}{model}:".encode() + body)
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer.request_queue_size = 128
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler)
server.daemon_threads = True
print("serving", flush=True)
server.serve_forever()
"""


class ScriptRunning:
    """A script that runs as a container would."""

    fault: Fault | None = None

    def __init__(self, source: str, container: Container) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONUNBUFFERED": "1",
            "SAGEMAKER_BASE_DIR": str(container.root),
            "SAGEMAKER_BIND_TO_PORT": str(container.port),
            **container.environment,
        }
        mounts.laid(container)
        self._environment = environment
        self._popen = subprocess.Popen(
            [*mounts.sealed(container), sys.executable, "-S", "-c", source, *container.arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.pid = self._popen.pid
        self._ended = threading.Event()
        self._code = 0
        threading.Thread(target=self._read, args=(container.log,), daemon=True).start()

    def wait(self, timeout: float | None = None) -> int | None:
        return self._code if self._ended.wait(timeout) else None

    def probe(self, command: Sequence[str], timeout: float) -> int | None:
        return subprocess.call(command, timeout=timeout, env=self._environment)

    def stop(self, grace: float) -> int:
        self._signal(signal.SIGTERM)
        if not self._ended.wait(grace):
            self._signal(signal.SIGKILL)
            self._ended.wait()
        return self._code

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def _read(self, log: Callable[[str], None]) -> None:
        with self._popen.stdout as output:
            for line in output:
                log(line.rstrip("\n"))
        code = self._popen.wait()
        self._code = code if code >= 0 else 128 - code
        self._ended.set()


@dataclass
class ScriptEngine:
    """Runs Python scripts by image; what it started ends with `close`."""

    name: str = "script"
    tools: Path | None = None
    scripts: dict[str, str] = field(default_factory=dict)
    started: list[ScriptRunning] = field(default_factory=list)
    containers: list[Container] = field(default_factory=list)
    isolates: bool = False
    machines: Any = None
    fault: Fault | None = None

    def pull(self, image: str, login: Callable[[], Login], *, check: Callable[[], None]) -> None:
        check()

    def start(self, container: Container) -> ScriptRunning:
        if container.image not in self.scripts:
            raise Refused(f"there is no image {container.image}")
        running = ScriptRunning(self.scripts[container.image], container)
        running.fault = self.fault
        self.containers.append(container)
        self.started.append(running)
        return running

    def clean(self) -> None:
        pass

    def close(self) -> None:
        for running in self.started:
            running.stop(0)


@dataclass
class FakeEcr:
    """ECR's answer about the images that there are; a role in `denied` gets none."""

    digests: dict[tuple[str, str], str] = field(default_factory=dict)

    def batch_get_image(self, *, repositoryName: str, imageIds: list[dict[str, str]]) -> dict[str, Any]:
        reference = next(iter(imageIds[0].values()))
        digest = self.digests.get((repositoryName, reference))
        return {"images": [{"imageId": {"imageDigest": digest}}] if digest else []}

    def close(self) -> None:
        pass


@dataclass(frozen=True, kw_only=True)
class WorldCloud(Cloud):
    """A cloud whose ECR is a fake and whose other services are real."""

    ecr: FakeEcr
    s3: Any = None

    def client(self, service: str, credentials: Credentials, **options: Any) -> Any:
        if service == "ecr":
            return self.ecr
        if service == "s3" and self.s3 is not None:
            return self.s3
        return super().client(service, credentials, **options)


class Administrator(FakeIdentity):
    """Gives every role the administrator's key."""

    key: tuple[str, str] = ("", "")

    def assume(self, role_arn: str, *, service: str, session: str) -> Credentials:
        if role_arn.endswith("/missing"):
            raise Refused(f"there is no role {role_arn}")
        return Credentials(*self.key, "")


class World:
    """The service, its cloud, and what a test needs to use them."""

    def __init__(self, home: Path, running: Any, *, settings: str = "{}", **parts: Any) -> None:
        (home / "sagemaker.json").write_text(settings)
        identity = Administrator()
        identity.key = (running.connection.access_key, running.connection.secret_key)
        self.home = home
        self.engine = ScriptEngine()
        self.s3 = running.client("s3")
        self.running = running
        self.cloud = WorldCloud(
            home=home,
            endpoint=running.endpoint,
            account="000000000000",
            region="us-east-1",
            store=Store(home / "atelier.sqlite"),
            identity=identity,
            events=FakeEvents(),
            metrics=FakeMetrics(),
            engine=self.engine,
            **{"ecr": FakeEcr(), **parts},
        )
        self.bucket = f"b{time.monotonic_ns()}"
        self.s3.create_bucket(Bucket=self.bucket)

    def close(self) -> None:
        PLUGIN.service.stop(self.cloud)
        self.engine.close()
        self.cloud.store.close()

    def image(self, name: str, source: str) -> str:
        """Make an image that runs *source*; return its URI with a tag."""
        source = textwrap.dedent(source)
        digest = f"sha256:{hashlib.sha256(source.encode()).hexdigest()}"
        self.cloud.ecr.digests[name, "1"] = digest
        self.cloud.ecr.digests[name, digest] = digest
        self.engine.scripts[f"{REGISTRY}/{name}@{digest}"] = source
        return f"{REGISTRY}/{name}:1"

    def put(self, key: str, body: bytes) -> str:
        """Put an object; return its URI."""
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)
        return f"s3://{self.bucket}/{key}"

    def get(self, uri: str) -> bytes:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        with closing(self.s3.get_object(Bucket=bucket, Key=key)["Body"]) as body:
            return bytes(body.read())

    def keys(self, prefix: str = "") -> set[str]:
        listed = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix)
        return {each["Key"] for each in listed.get("Contents", [])}

    def call(self, operation: str, **request: Any) -> dict[str, Any]:
        """Call the service as an SDK does."""
        return PLUGIN.service.call(self.cloud, operation, request)

    def job(self, name: str, image: str, **request: Any) -> dict[str, Any]:
        """A CreateTrainingJob request, with what the test adds to it."""
        return {
            "TrainingJobName": name,
            "AlgorithmSpecification": {"TrainingImage": image, "TrainingInputMode": "File"},
            "RoleArn": ROLE,
            "OutputDataConfig": {"S3OutputPath": f"s3://{self.bucket}/out"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
            **request,
        }

    def channel(self, name: str, uri: str) -> dict[str, Any]:
        source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
        return {"ChannelName": name, "DataSource": {"S3DataSource": source}}

    def train(self, name: str, image: str, **request: Any) -> dict[str, Any]:
        """Run a training job to its end; return its description."""
        self.call("CreateTrainingJob", **self.job(name, image, **request))
        return self.ended(name)

    def ended(self, name: str) -> dict[str, Any]:
        return self.until(
            lambda: self.call("DescribeTrainingJob", TrainingJobName=name),
            lambda job: job["TrainingJobStatus"] not in ("InProgress", "Stopping"),
        )

    def until(self, look: Callable[[], Any], is_so: Callable[[Any], bool], patience: float = 60) -> Any:
        """Look again and again until it is so."""
        deadline = time.monotonic() + patience
        while not is_so(seen := look()):
            assert time.monotonic() < deadline, seen
            time.sleep(0.03)
        return seen

    def config(
        self,
        name: str,
        image: str,
        *,
        data: str | None = None,
        asynchronous: dict[str, Any] | None = None,
        **variant: Any,
    ) -> str:
        """Make a model and an endpoint configuration, both called *name*."""
        container = {"Image": image, **({"ModelDataUrl": data} if data else {})}
        self.call("CreateModel", ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE)
        whole = {
            "VariantName": "AllTraffic", "ModelName": name, "InitialInstanceCount": 1,
            "InstanceType": "ml.m5.large", **variant,
        }  # fmt: skip
        more = {"AsyncInferenceConfig": asynchronous} if asynchronous else {}
        self.call("CreateEndpointConfig", EndpointConfigName=name, ProductionVariants=[whole], **more)
        return name

    def endpoint(self, name: str, config: str) -> dict[str, Any]:
        """Create an endpoint and wait until it has settled."""
        self.call("CreateEndpoint", EndpointName=name, EndpointConfigName=config)
        return self.settled(name)

    def settled(self, name: str) -> dict[str, Any]:
        return self.until(
            lambda: self.call("DescribeEndpoint", EndpointName=name),
            lambda endpoint: endpoint["EndpointStatus"] in ("InService", "Failed"),
        )
