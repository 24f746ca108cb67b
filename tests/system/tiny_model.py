"""A model of the standard library: it trains in no time, and answers as the real one does.

Tests change the constants below by a commit, and so make a model that fails in the way they are about.
"""

import json
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BITS_PER_BYTE = 2.5
WORD = "first"
UNKNOWN = {"colour"}
ANSWERS_PING = True

ROOT = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))


def train():
    given = json.loads((ROOT / "input" / "config" / "hyperparameters.json").read_text())
    if unknown := sorted(given.keys() & UNKNOWN):
        raise ValueError(f"unknown hyperparameter: {', '.join(unknown)}")
    text = "".join(each.read_text() for each in sorted((ROOT / "input" / "data").rglob("*.txt")))
    if not text:
        raise ValueError("the training channel is empty")
    say("untrained step=0 of=2 loss=7.600000 perplexity=1998.20 bits_per_byte=7.9000")
    for step in (1, 2):
        say(f"train step={step} of=2 loss=5.000000 perplexity=148.41 tokens_per_second=900")
    say(f"validation step=2 of=2 loss=5.000000 perplexity=148.41 bits_per_byte={BITS_PER_BYTE:.4f}")
    (ROOT / "model").mkdir(exist_ok=True)
    (ROOT / "model" / "model.json").write_text(json.dumps({"word": WORD}))


def say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer({}, 200)

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        word = json.loads((ROOT / "model" / "model.json").read_text())["word"]
        first = {
            "text": f" {word}",
            "finish_reason": "length",
            "prompt_tokens": len(request["prompt"].split()),
            "completion_tokens": 1,
        }
        self.answer({"completions": [first], "model": {"word": word}}, 200)

    def answer(self, document, status):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def serve():
    signal.signal(signal.SIGTERM, lambda *args: sys.exit(0))
    if not ANSWERS_PING:
        time.sleep(3600)
    address = os.environ.get("BIND_HOST", "0.0.0.0"), int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080"))
    ThreadingHTTPServer(address, Handler).serve_forever()


if __name__ == "__main__":
    try:
        {"train": train, "serve": serve}[sys.argv[1]]()
    except Exception as error:
        (ROOT / "output").mkdir(exist_ok=True)
        (ROOT / "output" / "failure").write_text(str(error))
        raise
