"""As much of S3 as a container needs: HEAD, GET, PUT and uploads in parts of one bucket, on a free port."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import boto3
from botocore.config import Config


@dataclass
class Bucket:
    """Objects by their key, and what was asked for."""

    objects: dict[str, bytes] = field(default_factory=dict)
    forbidden: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    asked: list[tuple[str, str]] = field(default_factory=list)
    parts: dict[str, dict[int, bytes]] = field(default_factory=dict)
    written: list[str] = field(default_factory=list)
    may_read: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    def __post_init__(self) -> None:
        self.may_read.set()

    def put(self, key: str, body: bytes) -> dict[str, object]:
        """Keep an object; return it as a request names a checkpoint."""
        self.objects[key] = body
        return {"name": key.rpartition("/")[2], "s3": f"s3://bucket/{key}", "sha256": None}

    def reads(self, key: str) -> int:
        """Count the downloads of an object."""
        return self.asked.count(("GET", key))

    def text(self, key: str) -> str:
        """Read an object as text; what is not there is empty."""
        return self.objects.get(key, b"").decode()

    def client(self) -> Any:
        """Make a client of this bucket, which does not ask again what was refused."""
        known = {name.lower(): value for name, value in self.variables.items() if "KEY" in name}
        patience = Config(retries={"total_max_attempts": 1})
        return boto3.client(
            "s3",
            endpoint_url=self.variables["AWS_ENDPOINT_URL"],
            region_name="eu-west-1",
            config=patience,
            **known,
        )

    @property
    def variables(self) -> dict[str, str]:
        """What a container must know to read from here."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "not-a-secret",
            "AWS_REGION": "eu-west-1",
        }


class Handler(BaseHTTPRequestHandler):
    """Answers as S3 does; *bucket* is set by who opens one."""

    bucket: Bucket
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.bucket.may_read.wait(60)
        self.answer(body=True)

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        key, asked = self.place()
        status = self.status(key)
        if status == 200 and "uploadId" in asked:
            self.bucket.parts[asked["uploadId"][0]][int(asked["partNumber"][0])] = content
        elif status == 200:
            self.bucket.objects[key] = content
            self.bucket.written.append(key)
        self.reply(status, content, body=False)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        key, asked = self.place()
        status = self.status(key)
        if status != 200:
            return self.reply(status, b"", body=True)
        if "uploads" in asked:
            upload = f"upload-{len(self.bucket.parts)}"
            self.bucket.parts[upload] = {}
            return self.say("InitiateMultipartUploadResult", f"<UploadId>{upload}</UploadId>")
        parts = self.bucket.parts.pop(asked["uploadId"][0])
        self.bucket.objects[key] = b"".join(parts[number] for number in sorted(parts))
        self.bucket.written.append(key)
        return self.say("CompleteMultipartUploadResult", "<ETag>whole</ETag>")

    def do_DELETE(self) -> None:
        self.bucket.parts.pop(self.place()[1]["uploadId"][0])
        self.reply(204, b"", body=False)

    def place(self) -> tuple[str, dict[str, list[str]]]:
        path, _, query = self.path.partition("?")
        key = path.removeprefix("/bucket/")
        self.bucket.asked.append((self.command, key))
        return key, parse_qs(query, keep_blank_values=True)

    def status(self, key: str) -> int:
        return 403 if key in self.bucket.forbidden else 503 if key in self.bucket.broken else 200

    def answer(self, *, body: bool) -> None:
        key, _ = self.place()
        status = self.status(key)
        status = status if key in self.bucket.objects or status != 200 else 404
        self.reply(status, self.bucket.objects[key] if status == 200 else b"", body=body)

    def say(self, kind: str, body: str) -> None:
        self.reply(200, f"<{kind}>{body}</{kind}>".encode(), body=True)

    def reply(self, status: int, content: bytes, *, body: bool) -> None:
        self.send_response(status)
        self.send_header("ETag", f'"{hashlib.md5(content).hexdigest()}"')
        length = len(content) if body or self.command == "HEAD" else 0
        if status != 204:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def opened() -> Iterator[Bucket]:
    """Serve a bucket."""
    bucket = Bucket()
    handler = type("Opened", (Handler,), {"bucket": bucket})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    bucket.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield bucket
    finally:
        bucket.may_read.set()
        server.shutdown()
        server.server_close()
        thread.join()
