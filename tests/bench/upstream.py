"""How much work a look at upstream is: CPU milliseconds for an answer with many references.

    python tests/bench/upstream.py [--references 8000]

The community WebUI's repository advertises some thousands: two for each pull request. The imports that the
first look does are told apart. It fails when a look takes more than 200 ms, or more than one request.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from atelier.lambdas.adapters.upstreams import GitUpstreams
from atelier.lambdas.domain.webui import Upstream

MOST = 200.0
COMMIT = "c" * 40


def packet(text: str) -> str:
    return f"{len(text) + 4:04x}{text}"


def advertisement(references: int) -> bytes:
    names = ["refs/heads/master", *(f"refs/pull/{number}/head" for number in range(references))]
    lines = [packet(f"{COMMIT} {names[0]}\0side-band-64k agent=git/2\n")]
    lines += [packet(f"{COMMIT} {name}\n") for name in names[1:]]
    return "".join([packet("# service=git-upload-pack\n"), "0000", *lines, "0000"]).encode()


def serve(body: bytes, asked: list[str]) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "application/x-git-upload-pack-advertisement")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--references", type=int, default=8000)
    asked: list[str] = []
    server = serve(advertisement(parser.parse_args().references), asked)
    upstream = Upstream(url=f"http://127.0.0.1:{server.server_port}/webui", reference="refs/heads/master")
    looks = []
    for _ in range(6):
        begin = time.thread_time()
        assert COMMIT == GitUpstreams().head(upstream)
        looks.append(1000 * (time.thread_time() - begin))
    server.shutdown()
    first, best = looks[0], min(looks[1:])
    sys.stdout.write(f"a look at upstream: {best:.0f} ms of work; the first, with its imports, {first:.0f}\n")
    return 0 if best < MOST and first < MOST and len(asked) == len(looks) else 1


if __name__ == "__main__":
    sys.exit(main())
