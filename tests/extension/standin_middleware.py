"""A middleware in memory that paints at once, for the browser's tests; its answers are the contract's.

What a prompt says decides what becomes of it: `slow` is painted for an hour, `fail` fails, `page` gives a web
page where a picture should be.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import socket
import sys
import threading
import time
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from openapi_schema_validator import OAS30Validator
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from standin_people import People, Refused
from standin_work import Work, now

from atelier.contract import openapi
from atelier.contract.operations import OPERATIONS

DOCUMENT = openapi.document("http://127.0.0.1/")
ROUTES = [
    (name, each.method, re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", each.path) + "/?$"))
    for name, each in OPERATIONS.items()
]


@dataclass
class Middleware(People, Work):
    """What is known, and what is to go wrong."""

    tokens: dict[str, str] = field(default_factory=lambda: {"token-of-anna": "anna", "token-of-ben": "ben"})
    version: str = DOCUMENT["info"]["version"]
    checkpoints: dict[str, dict[str, Any]] = field(default_factory=dict)
    endpoints: dict[str, dict[str, Any]] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    cuts: int = 0
    """How many requests to come are cut off."""
    on_the_way: dict[str, float] = field(default_factory=dict)
    """How long (s) an operation's answer takes to arrive: what it tells may be old by then."""
    lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self._settle_people()
        self._settle_work()
        self.endpoint("anna")
        self.checkpoint("tiny.safetensors", status="Active")
        middleware = self

        class Handler(_Handler):
            world = middleware

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """Answer no more, to nobody."""
        self.cuts = sys.maxsize
        self.server.shutdown()
        self.server.server_close()

    def finish(self) -> None:
        """Paint what was slow."""
        with self.lock:
            for job in self.jobs.values():
                if job["status"] == "inprogress":
                    self._paint(job, job["asked"])

    def times(self, name: str) -> int:
        """Say how often an operation was asked for."""
        return [each for each, _ in self.asked].count(name)

    def statuses(self) -> list[str]:
        """Return how the jobs stand, the oldest first."""
        return [each["status"] for each in self.jobs.values()]

    def answer(self, name: str, path: dict[str, str], query: dict[str, Any], body: Any, user: str) -> Any:
        """Return the data of an operation, with its status and message."""
        with self.lock:
            self.asked.append((name, user))
            return getattr(self, f"_{name}", _unknown)(path=path, query=query, body=body, user=user)

    def _RootAPI(self, **_: Any) -> Any:
        return 200, None, "OK"

    def _Ping(self, **_: Any) -> Any:
        return 200, None, "pong"

    # checkpoints

    def checkpoint(self, name: str, /, **changes: Any) -> dict[str, Any]:
        """Make a checkpoint."""
        id = str(uuid.uuid4())
        made = {
            "id": id,
            "s3Location": f"s3://bucket/{id}",
            "type": "Stable-diffusion",
            "status": "Initial",
            "name": [name],
            "created": now(),
            "params": {"created": now(), "creator": "anna", "message": "", "multipart_upload": {}},
            "allowed_roles_or_users": ["*"],
            "source_path": None,
            "target_path": None,
            **changes,
        }
        self.checkpoints[id] = made
        return made

    def _ListCheckpoints(self, query: dict[str, Any], user: str, **_: Any) -> Any:
        self._allow(user, "checkpoint:all", "checkpoint:list")
        wanted = query.get("types") or query.get("types[]")
        states = query.get("status") or query.get("status[]")
        found = [
            each
            for each in self.checkpoints.values()
            if (not wanted or each["type"] in wanted) and (not states or each["status"] in states)
        ]
        count, page = int(query.get("per_page", ["10"])[0]), int(query.get("page", ["1"])[0])
        shown = found[(page - 1) * count : page * count]
        pages = max(1, -(-len(found) // count))
        told = {"page": page, "per_page": count, "pages": pages, "total": len(found), "checkpoints": shown}
        return 200, told, "OK"

    def _CreateCheckpoint(self, body: Any, **_: Any) -> Any:
        if body.get("urls"):
            for url in body["urls"]:
                self.checkpoint(url.rpartition("/")[2], type=body["checkpoint_type"], status="Active")
            return 202, None, "Checkpoint creation in progress, please wait for a while"
        names = [each["filename"] for each in body["filenames"]]
        taken = {
            name for each in self.checkpoints.values() for name in each["name"] if each["status"] == "Active"
        }
        if taken & set(names):
            raise Refused(400, f"{names[0]} already exists, please use another or rename/delete exists")
        made = self.checkpoint(names[0], name=names, type=body["checkpoint_type"])
        links = {
            each["filename"]: [
                f"{self.url}s3/{made['id']}/{quote(each['filename'])}/{number}"
                for number in range(1, each.get("parts_number", 1) + 1)
            ]
            for each in body["filenames"]
        }
        return 201, {"checkpoint": self._told(made), "s3PresignUrl": links}, "Checkpoint created"

    def _UpdateCheckpoint(self, path: dict[str, str], body: Any, **_: Any) -> Any:
        found = self.checkpoints.get(path["id"]) or _missing(f"checkpoint not found with id {path['id']}")
        if body.get("name"):
            found["name"] = [f"{body['name']}.safetensors"]
            return 202, None, "Checkpoint rename in progress, please wait for a while"
        for name, parts in body["multi_parts_tags"].items():
            for each in parts:
                put = self.objects[f"{found['id']}/{name}/{each['PartNumber']}"]
                assert hashlib.md5(put).hexdigest() == each["ETag"].strip('"'), "another part was put"
            links = [f"{found['id']}/{name}/{each['PartNumber']}" for each in parts]
            self.objects[name] = b"".join(self.objects.pop(link) for link in links)
        found["status"] = "Active"
        told = self._told(found)
        shown = {name: told[name] for name in ("id", "type", "s3_location", "status", "params")}
        return 200, {"checkpoint": shown}, "Checkpoint updated"

    def _DeleteCheckpoints(self, body: Any, **_: Any) -> Any:
        for id in body["checkpoint_id_list"]:
            self.checkpoints.pop(id, None)
        return 204, None, ""

    @staticmethod
    def _told(made: dict[str, Any]) -> dict[str, Any]:
        kept = {name: made[name] for name in ("id", "type", "status", "params")}
        return {**kept, "s3_location": made["s3Location"], "source_path": None, "target_path": None}

    # endpoints

    def endpoint(self, name: str, **changes: Any) -> dict[str, Any]:
        """Make an endpoint that is in service."""
        kind = changes.get("endpoint_type", "Async")
        made = {
            "EndpointDeploymentJobId": str(uuid.uuid4()),
            "endpoint_name": f"sd-{kind.lower()}-{name}",
            "endpoint_status": "InService",
            "autoscaling": False,
            "owner_group_or_role": ["artist"],
            "current_instance_count": "1",
            "instance_type": "ml.g4dn.xlarge",
            "endpoint_type": kind,
            "min_instance_number": "0",
            "max_instance_number": "1",
            "startTime": now(),
            "custom_extensions": "",
            "service_type": "sd",
            **changes,
        }
        self.endpoints[made["endpoint_name"]] = made
        return made

    def _ListEndpoints(self, query: dict[str, Any], **_: Any) -> Any:
        found = list(self.endpoints.values())[: int(query.get("limit", ["10"])[0])]
        return 200, {"endpoints": found, "last_evaluated_key": None}, "OK"

    def _CreateEndpoint(self, body: Any, **_: Any) -> Any:
        kept = {name: body[name] for name in ("endpoint_type", "instance_type")}
        made = self.endpoint(
            body.get("endpoint_name") or uuid.uuid4().hex[:7], **kept, endpoint_status="Creating"
        )
        return 202, made, "Endpoint deployment started"

    def _DeleteEndpoints(self, body: Any, **_: Any) -> Any:
        for name in body["endpoint_name_list"]:
            self.endpoints.pop(name, None)
        return 204, None, ""

    # inferences

    def _CreateInferenceJob(self, body: Any, user: str, **_: Any) -> Any:
        serving = [each for each in self.endpoints.values() if each["endpoint_status"] == "InService"]
        named = body.get("sagemaker_endpoint_name")
        if named and named not in self.endpoints:
            raise Refused(400, f'endpoint "{named}" not found')
        if not serving:
            raise Refused(400, f'no available {body["inference_type"]} endpoints for user "{user}"')
        known = {name: each for each in self.checkpoints.values() for name in each["name"]}
        for name in (name for names in body["models"].values() for name in names):
            if name not in known:
                raise Refused(400, f"checkpoint with name {name} not found")
        id = str(uuid.uuid4())
        self.jobs[id] = {**_row(self, id, body, named or serving[0]["endpoint_name"]), "user": user}
        if body.get("payload_string") is not None:
            return self._started(id, json.loads(body["payload_string"]))
        names = [(kind, name) for kind, every in body["models"].items() for name in every]
        models = [{"id": known[name]["id"], "name": [name], "type": kind} for kind, name in names]
        link = f"{self.url}s3/params/{id}"
        told = {"id": id, "type": body["task_type"], "api_params_s3_location": f"s3://bucket/{id}"}
        told |= {"api_params_s3_upload_url": link, "models": models}
        return 201, {"inference": told}, "inference created"

    def _StartInferences(self, path: dict[str, str], **_: Any) -> Any:
        return self._started(path["id"], json.loads(self.objects[f"params/{path['id']}"]))

    def _started(self, id: str, params: dict[str, Any]) -> Any:
        job = self.jobs[id]
        job["asked"], prompt = params, str(params.get("prompt", ""))
        self.objects[f"params/{id}"] = json.dumps(params).encode()
        if "fail" in prompt:
            job.update(status="failed", completeTime=now(), sagemakerRaw={"failureReason": "no such picture"})
        elif "slow" in prompt:
            job["status"] = "inprogress"
        else:
            self._paint(job, params)
        told = {"inference_id": id, "status": "inprogress", "output_path": "s3://bucket/out"}
        told["endpoint_name"] = job["params"]["sagemaker_inference_endpoint_name"]
        return 202, {"InferenceJobId": id, "status": "inprogress", "inference": told}, "inference started"

    def _paint(self, job: dict[str, Any], params: dict[str, Any]) -> None:
        count = int(params.get("batch_size", 1)) * int(params.get("n_iter", 1))
        first = int(params.get("seed", -1))
        seeds = [(first if first >= 0 else 1234) + number for number in range(count)]
        texts = [infotext(params, seed) for seed in seeds]
        names = [f"image_{number}.png" for number in range(count)]
        for name, seed, text in zip(names, seeds, texts, strict=True):
            picture = b"<html>no picture" if "page" in params["prompt"] else painted(params, seed, text)
            self.objects[f"{job['InferenceJobId']}/{name}"] = picture
        info = {"all_seeds": seeds, "all_subseeds": seeds, "seed": seeds[0], "infotexts": texts}
        info |= {"all_prompts": [params["prompt"]] * count}
        info |= {"all_negative_prompts": [params.get("negative_prompt", "")] * count}
        output = {"parameters": params, "info": json.dumps(info)}
        self.objects[f"{job['InferenceJobId']}/output.json"] = json.dumps(output).encode()
        job.update(status="succeeded", completeTime=now(), image_names=names)

    def _GetInferenceJob(self, path: dict[str, str], user: str, **_: Any) -> Any:
        job = self._job(path["id"], user)
        link = f"{self.url}s3/{job['InferenceJobId']}"
        is_done = job["status"] == "succeeded"
        pictures = [f"{link}/{name}" for name in job["image_names"]]
        results = [f"{link}/output.json"] if is_done else []
        return 200, {**_public(job), "img_presigned_urls": pictures, "output_presigned_urls": results}, "OK"

    def _ListInferences(self, query: dict[str, Any], user: str, **_: Any) -> Any:
        kind = query.get("type", ["txt2img"])[0]
        found = [
            _public(each) for each in self.jobs.values() if each["taskType"] == kind and each["user"] == user
        ]
        return 200, {"inferences": found[::-1][: int(query["limit"][0])], "last_evaluated_key": None}, "OK"

    def _CancelInferenceJob(self, path: dict[str, str], user: str, **_: Any) -> Any:
        job = self._job(path["id"], user)
        if job["status"] not in {"created", "inprogress"}:
            raise Refused(400, f"inference {path['id']} is {job['status']}")
        job.update(status="cancelled", completeTime=now())
        return 200, {"InferenceJobId": path["id"], "status": "cancelled"}, "inference cancelled"

    def _DeleteInferenceJobs(self, body: Any, **_: Any) -> Any:
        for id in body["inference_id_list"]:
            self.jobs.pop(id, None)
        return 204, None, ""

    def _job(self, id: str, user: str) -> dict[str, Any]:
        job = self.jobs.get(id)
        if job is None or job["user"] != user:
            raise Refused(404, f"inference with id {id} not found")
        return job


def _unknown(**_: Any) -> Any:
    raise Refused(500, "this middleware does not do that")


def _missing(message: str) -> Any:
    raise Refused(404, message)


def _public(job: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in job.items() if name not in {"user", "asked"}}


def _row(world: Middleware, id: str, body: dict[str, Any], endpoint: str) -> dict[str, Any]:
    """Return a new job as it is listed."""
    chosen = world.endpoints[endpoint]
    params = {
        "input_body_s3": f"s3://bucket/{id}",
        "input_body_presign_url": f"{world.url}s3/params/{id}",
        "sagemaker_inference_endpoint_id": chosen["EndpointDeploymentJobId"],
        "sagemaker_inference_endpoint_name": endpoint,
        "sagemaker_inference_instance_type": chosen["instance_type"],
        "used_models": {
            kind: [{"model_name": name} for name in every] for kind, every in body["models"].items()
        },
    }
    return {
        "InferenceJobId": id,
        "inference_type": body["inference_type"],
        "taskType": body["task_type"],
        "status": "created",
        "owner_group_or_role": ["artist"],
        "image_names": [],
        "createTime": now(),
        "startTime": now(),
        "params": params,
    }


def colour(params: dict[str, Any], seed: int) -> tuple[int, int, int]:
    """Return the one colour of a picture, which follows from prompt and seed."""
    red, green, blue = hashlib.sha256(f"{params['prompt']} {seed}".encode()).digest()[:3]
    return red, green, blue


def infotext(params: dict[str, Any], seed: int) -> str:
    """Say how a picture was painted."""
    negative = f"\nNegative prompt: {params['negative_prompt']}" if params.get("negative_prompt") else ""
    size = f"{params['width']}x{params['height']}"
    return (
        f"{params['prompt']}{negative}\nSteps: {params.get('steps')}, Sampler: {params.get('sampler_name')}, "
        f"CFG scale: {params.get('cfg_scale')}, Seed: {seed}, Size: {size}, Model: tiny, Version: in memory"
    )


def painted(params: dict[str, Any], seed: int, text: str) -> bytes:
    """Return a picture of one colour."""
    told = PngInfo()
    told.add_itxt("parameters", text)
    file = io.BytesIO()
    Image.new("RGB", (params["width"], params["height"]), colour(params, seed)).save(
        file, "PNG", pnginfo=told
    )
    return file.getvalue()


class _Handler(BaseHTTPRequestHandler):
    world: Middleware
    protocol_version = "HTTP/1.1"

    def _any(self) -> None:
        if not self._is_cut():
            self._answer()

    def _answer(self) -> None:
        where = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if where.path.startswith("/s3/"):
            return self._object(unquote(where.path[4:]), body)
        name, path = self._operation(where.path)
        try:
            user = self._user()
            if name == "GetApiOAS":
                told = {**DOCUMENT, "info": {**DOCUMENT["info"], "version": self.world.version}}
                return self._say(200, json.dumps(told).encode())
            query = parse_qs(where.query)
            asked = json.loads(body) if body else None
            status, data, message = self.world.answer(name, path, query, asked, user)
            time.sleep(self.world.on_the_way.get(name, 0))
        except Refused as error:
            status, data, message = error.status, None, str(error)
        return self._enveloped(name, status, data, message)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _any

    def _is_cut(self) -> bool:
        with self.world.lock:
            if not self.world.cuts:
                return False
            self.world.cuts -= 1
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)
        return True

    def _operation(self, path: str) -> tuple[str, dict[str, str]]:
        for name, method, pattern in ROUTES:
            if method == self.command and (found := pattern.match(path)):
                return name, {key: unquote(value) for key, value in found.groupdict().items()}
        return "", {}

    def _user(self) -> str:
        user = self.world.tokens.get(self.headers.get("x-api-key", ""))
        if user is None:
            raise Refused(403, "Forbidden")
        if self.headers.get("username") not in {None, user}:
            raise Refused(403, f"the token acts for {user} alone")
        return user

    def _enveloped(self, name: str, status: int, data: Any, message: str) -> None:
        if status == 204:
            return self._say(204, b"")
        if message == "Forbidden":
            told: dict[str, Any] = {"message": message, "requestId": str(uuid.uuid4())}
        else:
            links = {"function_url": "http://l", "log_url": "http://l", "trace_url": "http://l"}
            told = {"statusCode": status, "debug": links, "message": message}
        if data is not None:
            told["data"] = data
        if name and status < 300:
            _hold_to_contract(name, status, told)
        return self._say(status, json.dumps(told).encode())

    def _object(self, key: str, body: bytes) -> None:
        if self.command == "PUT":
            self.world.objects[key] = body
            return self._say(200, b"", ETag=f'"{hashlib.md5(body).hexdigest()}"')
        found = self.world.objects.get(key)
        if found is None:
            return self._say(404, b"<Error><Code>NoSuchKey</Code></Error>", "application/xml")
        return self._say(200, found, "image/png" if key.endswith(".png") else "application/json")

    def _say(self, status: int, body: bytes, kind: str = "application/json", **headers: str) -> None:
        self.send_response(status)
        if status != 204:
            for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def _hold_to_contract(name: str, status: int, told: dict[str, Any]) -> None:
    declared = DOCUMENT["paths"][OPERATIONS[name].path][OPERATIONS[name].method.lower()]
    schema = declared["responses"][str(status)]["content"]["application/json"]["schema"]
    OAS30Validator({**schema, "components": DOCUMENT["components"]}).validate(told)
