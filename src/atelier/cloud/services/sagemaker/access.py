"""What an execution role gives to a job or an endpoint: clients, logs and variables, as that role."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

from atelier.cloud.context import Cloud, Credentials, Login, Refused
from atelier.cloud.services.logs import LogStream
from atelier.cloud.services.sagemaker import images
from atelier.cloud.services.sagemaker.service import PRINCIPAL, invalid

RENEW_AFTER = 900.0
"""Seconds; well before temporary credentials end, so that a long upload begins with fresh ones."""


REOPEN_AFTER = 3600.0
"""Seconds; a log stream holds the credentials it began with."""

logger = logging.getLogger(__name__)


class RoleError(Exception):
    """A role that SageMaker cannot assume."""


class Log:
    """A log stream that outlives the credentials it was opened with: endpoints serve for weeks."""

    def __init__(self, opened: Callable[[], LogStream]) -> None:
        self._open = opened
        self._lock = threading.Lock()
        self._stream = opened()
        self._since = time.monotonic()

    def __call__(self, line: str) -> None:
        """Add one line."""
        with self._lock:
            if time.monotonic() - self._since > REOPEN_AFTER:
                self._reopen()
            self._stream(line)

    def close(self, patience: float) -> None:
        """Send what is left, for at most *patience* seconds."""
        self._stream.close(patience)

    def _reopen(self) -> None:
        old, self._since = self._stream, time.monotonic()
        try:
            self._stream = self._open()
        except RoleError as error:
            logger.warning("logs of %s may end soon: %s", old.group, error)
        else:
            threading.Thread(target=old.close, daemon=True).start()


class Access:
    """A role, assumed as SageMaker does it, and again when its credentials age."""

    def __init__(self, cloud: Cloud, role_arn: str, session: str, *, service: str = PRINCIPAL) -> None:
        self._cloud = cloud
        self._role_arn = role_arn
        self._service = service
        self._session = session
        self._credentials: Credentials | None = None
        self._since = 0.0
        self._clients: dict[str, tuple[Credentials, Any, Callable[[], object]]] = {}

    def credentials(self) -> Credentials:
        """Return fresh credentials of the role, or raise RoleError."""
        if self._credentials is None or time.monotonic() - self._since > RENEW_AFTER:
            self._since = time.monotonic()
            self._credentials = self._assume()
        return self._credentials

    @contextmanager
    def client(self, service: str) -> Iterator[Any]:
        """Lend a boto3 client that acts as the role."""
        with closing(self._cloud.client(service, self.credentials())) as client:
            yield client

    def shared(self, service: str) -> Any:
        """Return a client that acts as the role and serves all threads until its credentials age."""
        credentials = self.credentials()
        used, client, close = self._clients.get(service, (None, None, lambda: None))
        if used is not credentials:
            close()
            client = self._cloud.client(service, credentials)
            # threads that still hold the client hold this object too: its connections go with it
            self._clients[service] = (credentials, client, weakref.finalize(self, client.close))
        return client

    def log(self, group: str, stream: str) -> Log:
        """Open a log stream, written as the role."""
        return Log(lambda: LogStream(self._cloud, self.credentials(), group, stream))

    def login(self) -> Login:
        """Log in to the image registry as the role."""
        with self.client("ecr") as ecr:
            return images.login(ecr)

    def environment(self) -> dict[str, str]:
        """Return the variables by which the container acts as the role."""
        return self._cloud.environment(self.credentials())

    def _assume(self) -> Credentials:
        try:
            return self._cloud.identity.assume(self._role_arn, service=self._service, session=self._session)
        except Refused as error:
            message = (
                f"Could not assume role {self._role_arn}. Please ensure that the role exists and allows"
                f" principal '{self._service}' to assume the role: {error}"
            )
            raise RoleError(message) from error


def check(cloud: Cloud, role_arn: str, session: str) -> None:
    """Refuse a request whose role SageMaker cannot assume."""
    try:
        Access(cloud, role_arn, session).credentials()
    except RoleError as error:
        raise invalid(str(error)) from error
