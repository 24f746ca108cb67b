"""As much of S3 as a container reads from: HEAD and GET of one bucket, on a free port."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Bucket:
    """Objects by their key, and what was asked for."""

    objects: dict[str, bytes] = field(default_factory=dict)
    forbidden: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    asked: list[tuple[str, str]] = field(default_factory=list)
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

    @property
    def variables(self) -> dict[str, str]:
        """What a container must know to read from here."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "not-a-secret",
            "AWS_REGION": "eu-west-1",
        }


@contextmanager
def opened() -> Iterator[Bucket]:
    """Serve a bucket."""
    bucket = Bucket()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            bucket.may_read.wait(60)
            self.answer(body=True)

        def answer(self, *, body: bool) -> None:
            key = self.path.partition("?")[0].removeprefix("/bucket/")
            bucket.asked.append((self.command, key))
            status = 403 if key in bucket.forbidden else 503 if key in bucket.broken else 200
            status = status if key in bucket.objects or status != 200 else 404
            content = bucket.objects[key] if status == 200 else b""
            self.send_response(status)
            self.send_header("ETag", f'"{hashlib.md5(content).hexdigest()}"')
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
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
