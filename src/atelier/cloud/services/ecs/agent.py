"""What a task finds at the container agent's address: its role's credentials, and what it is itself.

On Fargate that is 169.254.170.2. Here it is a port of the loopback interface; the path is as secret as there.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from atelier.cloud.context import Cloud, Credentials, Refused
from atelier.cloud.services.ecs.service import PRINCIPAL, tasks
from atelier.cloud.services.wire import Document
from atelier.cloud.store import Record

LIFE = 3600.0

Answer = tuple[int, Document]
Page = Callable[[], Document]


@dataclass
class Agent:
    """The agent of one cloud's tasks."""

    cloud: Cloud
    _pages: dict[str, Page] = field(default_factory=dict)
    _credentials: dict[str, tuple[Credentials, float]] = field(default_factory=dict)
    _assuming: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Listen."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.answer))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()

    def open(self, task: str, role: str | None, container: str) -> tuple[dict[str, str], list[str]]:
        """Return the variables by which a container of a task finds the agent, and the paths they name."""
        base = f"http://127.0.0.1:{self._server.server_address[1]}"
        about = f"/v4/{secrets.token_urlsafe(24)}"
        self._pages[about] = lambda: self._container(task, container)
        self._pages[f"{about}/task"] = lambda: self._task(task)
        variables, paths = {"ECS_CONTAINER_METADATA_URI_V4": base + about}, [about, f"{about}/task"]
        if role:
            path = f"/v2/credentials/{secrets.token_urlsafe(24)}"
            self._pages[path] = lambda: self._assumed(task, role)
            variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = base + path
            paths.append(path)
        return variables, paths

    def close(self, task: str, paths: list[str]) -> None:
        """Know nothing any more of a task that has ended."""
        for path in paths:
            self._pages.pop(path, None)
        self._credentials.pop(task, None)

    def answer(self, path: str) -> Answer:
        """Answer one request."""
        page = self._pages.get(path)
        if page is None:
            return 404, {"code": "NotFound", "message": "there is nothing at this address"}
        try:
            return 200, page()
        except Refused as refused:
            return 400, {"code": "AccessDenied", "message": str(refused)}

    def stop(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()

    def _assumed(self, task: str, role: str) -> Document:
        with self._assuming:
            credentials, end = self._credentials.get(task, (None, 0.0))
            if credentials is None or end - time.time() < LIFE / 3:
                credentials = self.cloud.identity.assume(role, service=PRINCIPAL, session=task)
                end = time.time() + LIFE
                self._credentials[task] = credentials, end
        return {
            "RoleArn": role,
            "AccessKeyId": credentials.access_key,
            "SecretAccessKey": credentials.secret_key,
            "Token": credentials.token,
            "Expiration": datetime.fromtimestamp(end, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    def _record(self, id: str) -> Record:
        record = tasks(self.cloud).get(id)
        if record is None:
            raise Refused("the task has ended")
        return record

    def _task(self, id: str) -> Document:
        record = self._record(id)
        family, _, revision = record["taskDefinitionArn"].rpartition("/")[2].partition(":")
        return {
            "Cluster": record["clusterArn"],
            "TaskARN": record["taskArn"],
            "Family": family,
            "Revision": revision,
            "ServiceName": (record.get("Service") or "").rpartition("/")[2] or None,
            "DesiredStatus": record["desiredStatus"],
            "KnownStatus": record["lastStatus"],
            "Limits": {"CPU": int(record["cpu"]) / 1024, "Memory": int(record["memory"])},
            "AvailabilityZone": record["availabilityZone"],
            "LaunchType": "FARGATE",
            "Containers": [self._container(id, each["name"]) for each in record["containers"]],
        }

    def _container(self, task: str, name: str) -> Document:
        record = self._record(task)
        found = next(each for each in record["containers"] if each["name"] == name)
        return {
            "DockerId": found["runtimeId"],
            "Name": name,
            "DockerName": name,
            "Image": found["image"],
            "ImageID": found.get("imageDigest", ""),
            "Labels": {
                "com.amazonaws.ecs.cluster": record["clusterArn"],
                "com.amazonaws.ecs.container-name": name,
                "com.amazonaws.ecs.task-arn": record["taskArn"],
            },
            "DesiredStatus": record["desiredStatus"],
            "KnownStatus": found["lastStatus"],
            "Type": "NORMAL",
            "ContainerARN": found["containerArn"],
            "Networks": [{"NetworkMode": "awsvpc", "IPv4Addresses": [record["Address"]]}],
        }


def _handler(answer: Callable[[str], Answer]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Hands a request over, and says nothing of it anywhere: its path is a secret."""

        def do_GET(self) -> None:
            status, document = answer(self.path)
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            return

    return Handler
