"""Faults on the wire between a deployed function and the cloud: refusals, silence, and sudden deaths."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

SERVICES = ("DYNAMODB", "SAGEMAKER", "SAGEMAKER_RUNTIME")
STATE, API, JOBS = "atelier-middleware-state", "atelier-middleware-api", "atelier-middleware-jobs"


@dataclass(frozen=True)
class Fault:
    """What happens to *times* calls of an operation, or of any, after the first *spared* ones.

    With a *code* a call is refused; *then* is called when it has been done and not yet answered.
    """

    operation: str = ""
    code: str = ""
    status: int = 400
    spared: int = 0
    times: int = 1000
    then: Callable[[], object] | None = None


@dataclass
class Wire:
    """Hands calls on to the cloud, but for those that have a fault; knows what was called."""

    cloud: str
    fault: Fault | None = None
    called: list[str] = field(default_factory=list)
    met: int = 0
    """How many calls have had the fault."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def hit(self, operation: str) -> Fault | None:
        """Count a call; return the fault that it meets."""
        with self.lock:
            self.called.append(operation)
            fault = self.fault
            if fault is None or fault.operation not in {"", operation}:
                return None
            known = [each for each in self.called if fault.operation in {"", each}]
            if not fault.spared < len(known) <= fault.spared + fault.times:
                return None
            self.met += 1
            return fault

    @contextmanager
    def faulty(self, fault: Fault, *, surely: bool = True) -> Iterator[None]:
        """Have a fault for a while; see that it was met, where it *surely* is."""
        self.called.clear()
        self.fault, self.met = fault, 0
        try:
            yield
        finally:
            self.fault = None
        assert self.met or not surely, f"{fault.operation} was not called, but {self.called}"


class Handler(BaseHTTPRequestHandler):
    """Hands one call on."""

    protocol_version = "HTTP/1.1"
    wire: Wire

    def hand_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.wire.hit(named(self.headers.get("X-Amz-Target"), self.path))
        if fault and fault.code:
            document = json.dumps({"__type": fault.code, "message": "injected"}).encode()
            return self.answer(fault.status, {"x-amzn-ErrorType": fault.code}, document)
        status, headers, found = self.ask(body)
        if fault and fault.then:
            fault.then()
        return self.answer(status, headers, found)

    do_GET = do_POST = do_PUT = do_DELETE = hand_on

    def ask(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Call the cloud with the very same signature, which names the host that was called."""
        connection = http.client.HTTPConnection(urlsplit(self.wire.cloud).netloc, timeout=60)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            dropped = {"connection", "content-length", "transfer-encoding", "date", "server"}
            headers = {name: value for name, value in answer.getheaders() if name.lower() not in dropped}
            return answer.status, headers, answer.read()
        finally:
            connection.close()

    def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            self.close_connection = True  # who called is dead

    def log_message(self, *_: Any) -> None:
        pass


def named(target: str | None, path: str) -> str:
    """Return the name of an operation: SageMaker's runtime alone has paths."""
    if target:
        return target.rpartition(".")[2]
    return "InvokeEndpointAsync" if path.endswith("async-invocations") else "InvokeEndpoint"


@contextmanager
def wired(lambda_: Any, function: str, cloud: str) -> Iterator[Wire]:
    """Lay a wire between a function and the cloud, for DynamoDB and SageMaker."""
    wire = Wire(cloud)
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"wire": wire})) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        before = lambda_.get_function_configuration(FunctionName=function)["Environment"]["Variables"]
        laid = {f"AWS_ENDPOINT_URL_{each}": address for each in SERVICES}
        try:
            configure(lambda_, function, {**before, **laid})
            yield wire
        finally:
            configure(lambda_, function, before)
            server.shutdown()


def configure(lambda_: Any, function: str, variables: dict[str, str]) -> None:
    """Give a function other variables; what runs it is started anew with them."""
    lambda_.update_function_configuration(FunctionName=function, Environment={"Variables": variables})
    lambda_.get_waiter("function_updated_v2").wait(FunctionName=function)


def resource(studio: Any, stack: str, name: str) -> str:
    """Return what a stack calls one of its resources."""
    found = studio.clients.cloudformation.describe_stack_resource(StackName=stack, LogicalResourceId=name)
    return str(found["StackResourceDetail"]["PhysicalResourceId"])


def shoot(studio: Any, function: str) -> list[int]:
    """Kill every process that runs a function now; return what was killed."""
    cloud, killed = json.loads((studio.home / "cloud.json").read_text())["pid"], []
    name = resource(studio, API, function).encode()
    for each in children(cloud):
        try:
            if name in Path(f"/proc/{each}/environ").read_bytes():
                os.kill(each, signal.SIGKILL)
                killed.append(each)
        except OSError:
            continue
    return killed


def children(pid: int) -> list[int]:
    """Return a process's descendants."""
    found, waiting = [], [pid]
    while waiting:
        of = waiting.pop()
        for task in Path(f"/proc/{of}/task").glob("*/children"):
            mine = [int(each) for each in task.read_text().split()]
            found += mine
            waiting += mine
    return found
