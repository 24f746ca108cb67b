"""Load balancers without a cloud around them, and the little servers that are their targets."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fakes import FakeIdentity, FakeMetrics, fake_cloud

from atelier.cloud.context import Cloud
from atelier.cloud.services import acm
from atelier.cloud.services.elasticloadbalancing import targets
from atelier.cloud.services.elasticloadbalancing.plugin import PLUGIN

CLUB = ["subnet-a", "subnet-b"]
QUICK = {
    "HealthCheckIntervalSeconds": 5,
    "HealthCheckTimeoutSeconds": 2,
    "HealthyThresholdCount": 2,
    "UnhealthyThresholdCount": 2,
}


class Handler(BaseHTTPRequestHandler):
    """Answers as its server's `paths` say, else with its name."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Any

    def do_GET(self) -> None:
        self.server.seen.append((self.command, self.path, dict(self.headers.items())))
        answer = self.server.paths.get(self.path.partition("?")[0])
        if answer is not None:
            answer(self)
        else:
            self.reply(200, self.server.name.encode())

    def do_POST(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        self.do_GET()

    do_HEAD = do_PUT = do_GET

    def reply(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


class Service(ThreadingHTTPServer):
    """One target: a server at an address and a port of its own."""

    daemon_threads = True

    def __init__(self, name: str, address: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__((address, port), Handler)
        self.name = name
        self.paths: dict[str, Callable[[Handler], None]] = {}
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.bodies: list[bytes] = []
        self._open: set[socket.socket] = set()
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def asked(self, path: str) -> list[dict[str, str]]:
        """The headers of all requests for a path."""
        return [headers for _, each, headers in list(self.seen) if each == path]

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def die(self) -> None:
        """Be gone at once, connections and all."""
        self.shutdown()
        self.server_close()
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


class World:
    """One cloud's load balancers, called as by its tester."""

    def __init__(self, home: Path, made_as: type[Cloud] = Cloud, **parts: Any) -> None:
        self.metrics, self.identity = FakeMetrics(), FakeIdentity()
        parts = {"metrics": self.metrics, "identity": self.identity, **parts}
        fake = fake_cloud(home, **parts)
        self.cloud = made_as(**{each.name: getattr(fake, each.name) for each in fields(fake)})
        self.services: list[Service] = []
        self.start()

    def __call__(self, operation: str, **request: Any) -> dict[str, Any]:
        return PLUGIN.service.call(self.cloud, operation, request)

    def start(self) -> None:
        assert PLUGIN.service.start is not None
        PLUGIN.service.start(self.cloud)

    def stop(self) -> None:
        assert PLUGIN.service.stop is not None
        PLUGIN.service.stop(self.cloud)

    def close(self) -> None:
        self.stop()
        for each in self.services:
            each.die()

    def service(self, name: str = "one") -> Service:
        """Start one more target."""
        self.services.append(Service(name))
        return self.services[-1]

    def group(self, *members: Service, name: str = "group", delay: int = 0, **more: Any) -> str:
        """A target group with targets; its ARN."""
        request = {"Name": name, "Protocol": "HTTP", "Port": 80, "VpcId": "vpc-1", "TargetType": "ip"}
        made = self("CreateTargetGroup", **{**request, **QUICK, **more})["TargetGroups"][0]
        arn = str(made["TargetGroupArn"])
        self.attribute(arn, "deregistration_delay.timeout_seconds", str(delay))
        if members:
            self("RegisterTargets", TargetGroupArn=arn, Targets=[self.target(each) for each in members])
        return arn

    def attribute(self, group: str, name: str, value: str) -> None:
        """Change one attribute of a target group."""
        given = [{"Key": name, "Value": value}]
        self("ModifyTargetGroupAttributes", TargetGroupArn=group, Attributes=given)

    def target(self, service: Service) -> dict[str, Any]:
        """A service as RegisterTargets names it."""
        address, port = service.server_address[:2]
        return {"Id": address, "Port": port}

    def balancer(self, name: str = "door", **attributes: str) -> tuple[str, str]:
        """A load balancer; its ARN and DNS name."""
        made = self("CreateLoadBalancer", Name=name, Subnets=CLUB)["LoadBalancers"][0]
        if attributes:
            given = [{"Key": key, "Value": value} for key, value in attributes.items()]
            arn = made["LoadBalancerArn"]
            self("ModifyLoadBalancerAttributes", LoadBalancerArn=arn, Attributes=given)
        return made["LoadBalancerArn"], made["DNSName"]

    def listener(self, balancer: str, *actions: dict[str, Any], **more: Any) -> str:
        """A listener; its ARN."""
        request = {"LoadBalancerArn": balancer, "Protocol": "HTTP", "Port": 80, **more}
        made = self("CreateListener", DefaultActions=list(actions), **request)
        return str(made["Listeners"][0]["ListenerArn"])

    def fleet(self, *members: Service, **more: Any) -> tuple[str, str]:
        """A load balancer in front of healthy targets: the group's ARN, and where to ask."""
        group = self.group(*members, **more)
        balancer, name = self.balancer()
        self.listener(balancer, forward(group))
        for each in members:
            self.until(group, each, "healthy")
        return group, name

    def certificate(self) -> tuple[bytes, str]:
        """Import a certificate; its text and ARN."""
        text, key = certificate("door.example")
        return text, self.imported(text, key)

    def imported(self, text: bytes, key: bytes) -> str:
        """Import this certificate; its ARN."""
        request = {"Certificate": b64encode(text).decode(), "PrivateKey": b64encode(key).decode()}
        return str(acm.SERVICE.call(self.cloud, "ImportCertificate", request)["CertificateArn"])

    def register(self, group: str, service: Service) -> None:
        """Register a target, as ECS does."""
        address, port = service.server_address[:2]
        targets.register(self.cloud, group, str(address), port)

    def deregister(self, group: str, service: Service) -> None:
        """Deregister a target, as ECS does."""
        address, port = service.server_address[:2]
        targets.deregister(self.cloud, group, str(address), port)

    def state(self, group: str, service: Service) -> str:
        """A target's state."""
        asked = self("DescribeTargetHealth", TargetGroupArn=group, Targets=[self.target(service)])
        return str(asked["TargetHealthDescriptions"][0]["TargetHealth"]["State"])

    def until(self, group: str, service: Service, state: str, patience: float = 60) -> None:
        """Wait until a target is in a state."""
        end = time.monotonic() + patience
        while (now := self.state(group, service)) != state:
            assert time.monotonic() < end, f"still {now}"
            time.sleep(0.02)


def forward(*groups: str) -> dict[str, Any]:
    """The action that forwards to groups, to each as much."""
    rows = [{"TargetGroupArn": each, "Weight": 1} for each in groups]
    return {"Type": "forward", "ForwardConfig": {"TargetGroups": rows}}


def ask(
    where: str, path: str = "/", method: str = "GET", body: Any = None, **headers: str
) -> tuple[int, bytes, dict[str, str]]:
    """One request on a connection of its own: status, body and headers."""
    with connected(where) as connection:
        connection.request(
            method, path, body, {name.replace("_", "-"): each for name, each in headers.items()}
        )
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.headers.items())


@contextmanager
def connected(where: str) -> Iterator[http.client.HTTPConnection]:
    """A connection to a load balancer."""
    host, _, port = where.partition(":")
    connection = http.client.HTTPConnection(host, int(port or 80), timeout=30)
    try:
        yield connection
    finally:
        connection.close()


def certificate(*names: str, address: str = "127.0.0.1") -> tuple[bytes, bytes]:
    """A certificate that vouches for itself, and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    now = datetime.now(UTC)
    known = [*(x509.DNSName(each) for each in names), x509.IPAddress(ipaddress.ip_address(address))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName(known), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    return made.public_bytes(serialization.Encoding.PEM), key.private_bytes(*form)
