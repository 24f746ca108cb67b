"""What a local service may use of the cloud around it."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import boto3
from botocore.config import Config

from atelier.cloud.store import Store

_MAKING_CLIENTS = threading.Lock()
"""boto3's default session must not make two clients at once; clients themselves are safe."""


@dataclass(frozen=True)
class Caller:
    """Who signed a request: an ARN, the role behind it when it is an assumed one, the key if there was one.

    A caller known by a key is held to the limits of that key's session too.
    """

    arn: str
    role_arn: str | None = None
    access_key: str = ""


@dataclass(frozen=True)
class Credentials:
    """A role's temporary credentials."""

    access_key: str
    secret_key: str
    token: str

    def environment(self) -> dict[str, str]:
        """Return the variables by which every AWS SDK finds these credentials."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_SESSION_TOKEN": self.token,
        }


@dataclass(frozen=True)
class InstanceProfile:
    """What hands a role to an instance; it may have none."""

    arn: str
    id: str
    role_arn: str | None


class Identity(Protocol):
    """IAM, as our own services need it."""

    def caller(self) -> Caller:
        """Return who signed the request that is being answered."""
        ...

    def signer(self, access_key: str) -> Caller | None:
        """Return who stands behind a key, or None when it is not valid (any more)."""
        ...

    def allows(self, caller: Caller, action: str, resource: str, **keys: str) -> bool:
        """Say whether the caller's policies allow *action* (``codebuild:StartBuild``) on *resource*.

        *keys* are condition keys of the request: ``**{"iam:PassedToService": "sagemaker.amazonaws.com"}``.
        """
        ...

    def assume(
        self, role_arn: str, *, service: str, session: str, policy: Mapping[str, Any] | None = None
    ) -> Credentials:
        """Return credentials of the role for *service* (``codebuild.amazonaws.com``), narrowed to *policy*.

        Raises Refused when there is no such role or its trust policy does not name the service.
        """
        ...

    def serve(self, service: str, action: str, resource: str, *, source_arn: str) -> Credentials:
        """Return credentials for one *action* of an AWS service on a *resource* whose policy lets it.

        Raises Refused when that policy does not allow it for *source_arn*.
        """
        ...

    def profile(self, name: str) -> InstanceProfile | None:
        """Return the instance profile of a name or an ARN."""
        ...


class Events(Protocol):
    """The default event bus of EventBridge."""

    def publish(self, source: str, detail_type: str, detail: Mapping[str, Any], resources: list[str]) -> None:
        """Put one event on the bus as an AWS service does."""
        ...


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What CloudWatch was told at one moment (seconds since the epoch): how many values, and which."""

    time: float
    count: float
    total: float
    minimum: float
    maximum: float
    unit: str


class Metrics(Protocol):
    """CloudWatch, as services feed it without a role, and act on its alarms (in DescribeAlarms' words)."""

    def put(self, namespace: str, name: str, value: float, dimensions: Mapping[str, str]) -> None:
        """Tell CloudWatch one value of now."""
        ...

    def samples(self, namespace: str, name: str, dimensions: Mapping[str, str], since: float) -> list[Sample]:
        """Return what was told of exactly this metric, from *since* on (seconds since the epoch)."""
        ...

    def alarms(self) -> list[Mapping[str, Any]]:
        """Return the metric alarms."""
        ...

    def put_alarm(self, alarm: Mapping[str, Any]) -> None:
        """Make or change an alarm; one that exists keeps its state."""
        ...

    def delete_alarm(self, name: str) -> None:
        """Forget an alarm."""
        ...

    def move_alarm(self, name: str, state: str, reason: str) -> None:
        """Bring an alarm to another state (``OK``, ``ALARM``, ``INSUFFICIENT_DATA``); topics hear of it."""
        ...


@dataclass(frozen=True, kw_only=True)
class Size:
    """How big a machine a container is meant for; engines that can hold it to that do."""

    vcpus: float
    memory: int
    """In bytes."""
    gpus: int = 0


Login = tuple[str, str]
"""A user's name and password at an image registry."""


@dataclass(frozen=True, kw_only=True)
class Mount:
    """A folder of this machine that a container sees at *target*."""

    source: Path
    target: str
    is_read_only: bool = False


@dataclass(frozen=True, kw_only=True)
class Container:
    """One container to start: what SageMaker calls ``docker run image train``."""

    name: str
    image: str
    entrypoint: tuple[str, ...] = ()
    """What runs in place of the image's own ENTRYPOINT."""
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str]
    root: Path | None = None
    """The folder that it sees as /opt/ml; one that serves sees the model in it, and cannot change that."""
    mounts: tuple[Mount, ...] = ()
    address: str = "127.0.0.1"
    """The address of the loopback interface at which it is to answer, if it serves."""
    port: int | None = None
    """The port at which it is to answer, if it serves."""
    hostname: str | None = None
    size: Size | None = None
    is_isolated: bool = False
    """Whether it may reach nothing outside of itself."""
    login: Callable[[], Login] | None = None
    """Logs in to the image's registry, should the image have to be fetched."""
    log: Callable[[str], None]


@dataclass(frozen=True)
class Fault:
    """Why a container ended, where neither its exit code nor its log tells."""

    reason: str
    is_platform: bool = False
    """Whether it was the engine's fault, and not the program's."""


class Running(Protocol):
    """A started container."""

    pid: int
    fault: Fault | None

    def wait(self, timeout: float | None = None) -> int | None:
        """Return the exit code, or None when *timeout* seconds passed and it still runs."""
        ...

    def stop(self, grace: float) -> int:
        """Send SIGTERM to the whole group, SIGKILL after *grace* seconds; return the exit code."""
        ...


class RunningContainer(Running, Protocol):
    """A started container, inside of which more can be run."""

    def probe(self, command: Sequence[str], timeout: float) -> int | None:
        """Run a command inside, where the container still runs; return its exit code; None: no answer."""
        ...


@dataclass(frozen=True, kw_only=True)
class Machine:
    """One machine to boot: a container in this machine's network that starts containers of its own."""

    name: str
    image: str
    hostname: str
    environment: Mapping[str, str]
    disks: Mapping[str, str]
    """The names of its disks, by the folder in which it has them; they outlive it."""
    log: Callable[[str], None]
    """Takes the lines of its console."""


class Machines(Protocol):
    """What an engine that can boot machines does with them."""

    def build(self, image: str, files: Mapping[str, bytes]) -> None:
        """Build the image of machines from *files*, unless it is there; raise Refused when that fails."""
        ...

    def boot(self, machine: Machine) -> Running:
        """Start a machine; its containers end with it. Raise Refused when it cannot be started."""
        ...

    def remove_disk(self, name: str) -> None:
        """Remove a disk with all that is on it."""
        ...


class Engine(Protocol):
    """Where containers run."""

    name: str

    tools: Path | None
    """A folder to put first on a build's PATH: the engine's `docker` command where there is no real one."""

    isolates: bool
    """Whether it can keep a container from the network."""

    @property
    def machines(self) -> Machines | None:
        """What boots machines, where the engine can."""
        ...

    def pull(self, image: str, login: Callable[[], Login], *, check: Callable[[], None]) -> None:
        """Fetch an image from its registry; raise Refused when that cannot be.

        *check* is called as it comes, and ends the transfer by raising.
        """
        ...

    def has(self, image: str) -> bool:
        """Say whether an image is there already."""
        ...

    def start(self, container: Container) -> RunningContainer:
        """Start a container; raise Refused when its image is not there."""
        ...

    def clean(self) -> None:
        """End containers that an earlier, killed run of this cloud left behind."""
        ...

    def close(self) -> None:
        """End what still runs; nothing is started after it."""
        ...


class Refused(Exception):
    """Something that the local cloud does not do, or was not allowed; the text says what and why."""


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """The cloud around a service: where it keeps things, who it acts as, what runs its containers."""

    home: Path
    endpoint: str
    account: str
    region: str
    store: Store
    identity: Identity
    events: Events
    metrics: Metrics
    engine: Engine

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of *resource* (``build/x:1``) in this account and region."""
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"

    def environment(self, credentials: Credentials) -> dict[str, str]:
        """Return the variables that point a child process's AWS SDKs at this cloud, as *credentials*."""
        return {
            **credentials.environment(),
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
        }

    def client(self, service: str, credentials: Credentials, **options: Any) -> Any:
        """Return a boto3 client of this cloud that acts as *credentials*; for a thread of its own.

        *options* go into botocore's Config (``read_timeout=900``).
        """
        settings = {"retries": {"mode": "standard"}, "inject_host_prefix": False, **options}
        with _MAKING_CLIENTS:
            return boto3.client(  # type: ignore[call-overload]
                service,
                endpoint_url=self.endpoint,
                region_name=self.region,
                aws_access_key_id=credentials.access_key,
                aws_secret_access_key=credentials.secret_key,
                aws_session_token=credentials.token,
                config=Config(**settings),
            )

    def spawn(self, work: Callable[..., None], *args: object) -> threading.Thread:
        """Run *work* in a daemon thread that belongs to the same account and region."""
        thread = threading.Thread(target=contextvars.copy_context().run, args=(work, *args), daemon=True)
        thread.start()
        return thread
