"""The deployed middleware, asked as any client would, every answer held to the document that it serves."""

from __future__ import annotations

import json
import struct
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import httpx
from jsonschema import Draft202012Validator
from openapi_schema_validator import OAS30Validator
from small_images import push

from atelier import deploy
from atelier.cli.connect import reached
from atelier.client import middleware
from atelier.client.session import Clients
from atelier.cloud.gateway import launch
from atelier.contract.operations import OPERATIONS

REFERENCE = json.loads((Path(__file__).parent / "reference.json").read_text())
PIXEL = b"\x89PNG\r\n\x1a\n and a pixel"
PAINTER = """
import base64, http.server, json, os, struct, sys, time, zlib

def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

def canvas(width, height):
    rows = zlib.compress((b"\\0" + b"\\0\\x80\\xff" * width) * height)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return SIGNATURE + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.reply(200, {})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        time.sleep(asked["params"].get("seconds", 0))
        if asked["params"].get("prompt") == "refuse":
            return self.reply(400, {"message": "no such picture"})
        params, paintings = asked["params"], [PIXEL]
        if params.get("prompt") == "a canvas":
            paintings = [canvas(params["width"], params["height"])] * params["batch_size"] * params["n_iter"]
        pictures = [base64.b64encode(each).decode() for each in paintings]
        self.reply(200, {"id": asked["id"], "images": pictures, "parameters": params, "info": "{}"})

    def reply(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass

if sys.argv[1:] == ["train"]:
    base = os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml")
    asked = open(os.path.join(base, "input", "data", "config", "config.json")).read()
    if "brief" in asked:
        sys.exit()
    time.sleep(3600)  # until it is stopped

address = "127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])
http.server.ThreadingHTTPServer(address, Handler).serve_forever()
""".replace("PIXEL", repr(PIXEL)).replace("SIGNATURE", repr(PIXEL[:8]))

FORMATS = Draft202012Validator.FORMAT_CHECKER
HASTY = "1000000"
"""Requests of a user in ten seconds: tests are in a hurry, but for the one of throttling."""


@dataclass
class Studio:
    """A deployed middleware; its own token acts for the user `api` unless another is given."""

    home: Path
    clients: Clients
    url: str
    token: str
    bucket: str
    document: dict[str, Any] = field(default_factory=dict)

    def ask(
        self,
        operation: str,
        body: Any = None,
        *,
        token: str | None = "",
        username: str | None = "api",
        query: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        content: bytes | None = None,
        at: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Ask for an operation; fail when the answer is not one that the document declares."""
        declared = OPERATIONS[operation]
        key = self.token if token == "" else token
        told = {"x-api-key": key, "username": username, **(headers or {})}
        answer = httpx.request(
            declared.method,
            self.url
            + declared.path.format(**{k: quote(v, safe="") for k, v in (at or {}).items()}).lstrip("/"),
            params=query,
            content=content if content is not None else None if body is None else json.dumps(body),
            headers={name: value for name, value in told.items() if value is not None},
            timeout=60,
            trust_env=False,
        )
        if self.document:
            check(operation, answer, self.document)
        return answer

    def data(self, operation: str, *given: Any, **more: Any) -> Any:
        """Ask, and return the data of a success."""
        answer = self.ask(operation, *given, **more)
        assert answer.status_code < 300, answer.text
        return answer.json().get("data") if answer.content else None

    def user(self, name: str, *permissions: str) -> str:
        """Make a user with a role of these permissions, and a token; return the token."""
        self.data("CreateRole", {"role_name": name, "permissions": list(permissions)})
        self.data("CreateUser", {"username": name, "roles": [name]})
        return str(self.data("CreateToken", {"description": "test"}, at={"username": name})["secret"])


def check(operation: str, answer: httpx.Response, document: dict[str, Any]) -> None:
    """Hold an answer to our document, and to the published API's shapes where it is to have them."""
    declared = document["paths"][OPERATIONS[operation].path][OPERATIONS[operation].method.lower()]
    status = str(answer.status_code)
    assert status in declared["responses"], f"{operation} answers {status}: {answer.text[:300]}"
    if status == "204":
        assert b"" == answer.content
        return
    assert "application/json" == answer.headers["content-type"].partition(";")[0]
    described = declared["responses"][status]["content"]["application/json"]["schema"]
    schema = {**described, "components": document["components"]}
    OAS30Validator(schema, format_checker=OAS30Validator.FORMAT_CHECKER).validate(answer.json())
    if name := REFERENCE["answers"].get(operation, {}).get(status):
        # written for API Gateway, it knows the type null and not the member nullable
        Draft202012Validator(REFERENCE["schemas"][name], format_checker=FORMATS).validate(answer.json())


def opened(home: Path) -> Studio:
    """Deploy the middleware with an image that paints at once, and connect to it."""
    clients = reached(launch.start(home))
    image = push(
        SimpleNamespace(home=home, client=lambda service: getattr(clients, service)),
        "painter",
        {"serve.py": PAINTER},
        ("python", "serve.py"),
    )
    deploy.deploy(
        clients,
        prefix="atelier",
        parameters={"EndpointImage": image, "UserRequests": HASTY},
        order=deploy.MIDDLEWARE,
    )
    found, api = middleware.place(clients), middleware.connect(clients)
    studio = Studio(home=home, clients=clients, url=found.url, token=api.token, bucket=found.bucket)
    studio.document = studio.ask("GetApiOAS").json()
    return studio


def safetensors(value: float = 0.5) -> bytes:
    """A file of one tensor."""
    header = json.dumps({"t": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + struct.pack("<f", value)


def upload(studio: Studio, name: str, **asked: Any) -> str:
    """Upload a checkpoint of one file; return its id."""
    wanted = {"checkpoint_type": "Stable-diffusion", "filenames": [{"filename": name, "parts_number": 1}]}
    made = studio.data("CreateCheckpoint", wanted, **asked)
    put = httpx.put(made["s3PresignUrl"][name][0], content=safetensors(), trust_env=False)
    assert 200 == put.status_code, put.text
    tags = {name: [{"ETag": put.headers["etag"], "PartNumber": 1}]}
    id = str(made["checkpoint"]["id"])
    studio.data("UpdateCheckpoint", {"status": "Active", "multi_parts_tags": tags}, at={"id": id}, **asked)
    return id


def endpoint(
    studio: Studio, name: str, kind: str = "Async", *, patience: float = 60, **changes: Any
) -> dict[str, Any]:
    """Make an endpoint for the role of the user `api`, and wait until it is in service."""
    wanted = {
        "endpoint_name": name,
        "endpoint_type": kind,
        "instance_type": "ml.g4dn.xlarge",
        "initial_instance_count": 1,
        "autoscaling_enabled": False,
        "assign_to_roles": ["IT Operator"],
        **changes,
    }
    made: dict[str, Any] = studio.data("CreateEndpoint", wanted)
    id = made["EndpointDeploymentJobId"]
    return until(lambda: _in_service(studio, id), patience)


def painter(studio: Studio, name: str) -> str:
    """Return the name of the one Async endpoint that the role may have: made by another module, or now."""
    mine = {"username": "api", "limit": "100"}  # not those of other roles
    ready = (
        each["endpoint_name"]
        for each in studio.data("ListEndpoints", query=mine)["endpoints"]
        if (each["endpoint_type"], each["endpoint_status"]) == ("Async", "InService")
    )
    return next(ready, None) or str(endpoint(studio, name)["endpoint_name"])


def _in_service(studio: Studio, id: str) -> dict[str, Any] | None:
    found = studio.data("ListEndpoints", query={"endpointDeploymentJobId": id})["endpoints"][0]
    assert "Failed" != found["endpoint_status"], found
    return found if found["endpoint_status"] == "InService" else None


def ended(studio: Studio, id: str, *, patience: float = 60, **asked: Any) -> dict[str, Any]:
    """Wait until a job has come to its end."""

    def look() -> dict[str, Any] | None:
        job = studio.data("GetInferenceJob", at={"id": id}, **asked)
        return None if job["status"] in {"created", "inprogress"} else job

    return until(look, patience)


def until(look: Any, seconds: float = 60) -> Any:
    """Look until there is something."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.2)
    return found
