"""The instance metadata service, version 2: what an instance may know of itself, and its role's credentials.

On EC2 it is at a link-local address that only the instance reaches. Here every instance is told an address
with a secret of its own in it, so that no other program of this machine can ask in its place.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from atelier.cloud.context import Cloud, Credentials, Refused
from atelier.cloud.services.ec2.service import instances, zone
from atelier.cloud.store import Record

TOKEN, SECONDS = "x-aws-ec2-metadata-token", "x-aws-ec2-metadata-token-ttl-seconds"
LONGEST = 21_600
LIFE = 6 * 3600.0
"""Seconds for which credentials are good; they are new well before."""

Answer = tuple[int, str]


class Metadata:
    """The service of one cloud, on a port of the loopback interface."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._instances: dict[str, str] = {}
        self._tokens: dict[tuple[str, str], float] = {}
        self._giving = threading.Lock()
        self._credentials: dict[str, tuple[Credentials, float]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.answer))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.2,), daemon=True).start()

    def open(self, instance: str) -> str:
        """Return the address at which an instance is answered."""
        key = next((key for key, id in self._instances.items() if id == instance), None)
        if key is None:
            key = secrets.token_urlsafe(24)
            self._instances[key] = instance
        return f"http://127.0.0.1:{self._server.server_port}/{key}"

    def close(self) -> None:
        """Answer nobody any more."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, path: str, headers: Mapping[str, str]) -> Answer:
        """Answer one request."""
        _, key, *rest = path.split("/", 2)
        instance = self._instances.get(key)
        record = instances(self._cloud).get(instance) if instance else None
        if record is None or record["State"] == "terminated":
            return 404, "Not Found"
        where = rest[0] if rest else ""
        if method == "PUT":
            return self._token(key, headers) if where == "latest/api/token" else (404, "Not Found")
        if record["Metadata"]["HttpEndpoint"] == "disabled" or "x-forwarded-for" in headers:
            return 403, "Forbidden"
        if not self._knows(key, headers, record):
            return 401, "Unauthorized"
        return self._found(record, where.rstrip("/"))

    def _token(self, key: str, headers: Mapping[str, str]) -> Answer:
        asked = headers.get(SECONDS, "")
        if not asked.isdecimal() or not 1 <= int(asked) <= LONGEST:
            return 400, "Bad Request"
        token = secrets.token_urlsafe(40)
        now = time.monotonic()
        with self._giving:  # two who ask at one time both get one that is known
            left = {name: end for name, end in self._tokens.items() if end > now}
            self._tokens = {**left, (key, token): now + int(asked)}
        return 200, token

    def _knows(self, key: str, headers: Mapping[str, str], record: Record) -> bool:
        token = headers.get(TOKEN)
        if token is None:
            return bool(record["Metadata"]["HttpTokens"] == "optional")
        return self._tokens.get((key, token), 0.0) > time.monotonic()

    def _found(self, record: Record, where: str) -> Answer:
        tree: Any = {"latest": self._tree(record)}
        for part in where.split("/"):
            if not isinstance(tree, Mapping) or part not in tree:
                return 404, "Not Found"
            tree = tree[part]
        if isinstance(tree, Mapping):
            return 200, "\n".join(
                f"{name}/" if isinstance(each, Mapping) else name for name, each in tree.items()
            )
        try:
            return 200, tree() if callable(tree) else tree
        except Refused as error:
            return 404, str(error)

    def _tree(self, record: Record) -> dict[str, Any]:
        tree: dict[str, Any] = {"meta-data": self._about(record)}
        if record["UserData"]:
            tree["user-data"] = base64.b64decode(record["UserData"]).decode()
        return {
            **tree,
            "dynamic": {"instance-identity": {"document": json.dumps(self._identity(record), indent=2)}},
        }

    def _about(self, record: Record) -> dict[str, Any]:
        address, name = record["Address"], f"ip-{record['Address'].replace('.', '-')}.ec2.internal"
        about: dict[str, Any] = {
            "ami-id": record["ImageId"],
            "hostname": name,
            "instance-id": record["InstanceId"],
            "instance-life-cycle": record["Lifecycle"],
            "instance-type": record["InstanceType"],
            "local-hostname": name,
            "local-ipv4": address,
            "placement": {"availability-zone": zone(self._cloud), "region": self._cloud.region},
            "public-ipv4": address,
        }
        if record["Profile"]:
            about["iam"] = self._iam(record)
        if record["Metadata"]["InstanceMetadataTags"] == "enabled":
            about["tags"] = {"instance": dict(record["Tags"])}
        return about

    def _iam(self, record: Record) -> dict[str, Any]:
        profile = record["Profile"]
        info = {"Code": "Success", "InstanceProfileArn": profile["Arn"], "InstanceProfileId": profile["Id"]}
        found: dict[str, Any] = {"info": json.dumps(info)}
        if role := profile["Role"]:
            name = role.rpartition("/")[2]
            found["security-credentials"] = {name: lambda: self._assumed(record["InstanceId"], role)}
        return found

    def _assumed(self, instance: str, role: str) -> str:
        credentials, end = self._credentials.get(instance, (None, 0.0))
        if credentials is None or end - time.time() < LIFE / 6:
            credentials = self._cloud.identity.assume(role, service="ec2.amazonaws.com", session=instance)
            end = time.time() + LIFE
            self._credentials[instance] = credentials, end
        return json.dumps(
            {
                "Code": "Success",
                "Type": "AWS-HMAC",
                "LastUpdated": _moment(time.time()),
                "AccessKeyId": credentials.access_key,
                "SecretAccessKey": credentials.secret_key,
                "Token": credentials.token,
                "Expiration": _moment(end),
            }
        )

    def _identity(self, record: Record) -> dict[str, str]:
        return {
            "accountId": self._cloud.account,
            "availabilityZone": zone(self._cloud),
            "imageId": record["ImageId"],
            "instanceId": record["InstanceId"],
            "instanceType": record["InstanceType"],
            "pendingTime": record["LaunchTime"],
            "privateIp": record["Address"],
            "region": self._cloud.region,
            "version": "2017-09-30",
        }


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _handler(answer: Callable[[str, str, Mapping[str, str]], Answer]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Hands a request over, and says nothing of it anywhere: its path is a secret."""

        def do_GET(self) -> None:
            self._send(*answer("GET", self.path, {key.lower(): value for key, value in self.headers.items()}))

        def do_PUT(self) -> None:
            self._send(*answer("PUT", self.path, {key.lower(): value for key, value in self.headers.items()}))

        def log_message(self, format: str, *args: object) -> None:
            return

        def _send(self, status: int, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler
