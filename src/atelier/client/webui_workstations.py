"""Workstations: instances that run the WebUI's image, from their launch to their end."""

from __future__ import annotations

import re
import ssl
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from atelier.client.errors import NotDeployed, NotFound, Problem, Refusal
from atelier.client.outputs import PREFIX, outputs
from atelier.client.webui import DEPLOY, Image

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

    from atelier.client.session import Clients

STACK = "workstation"
INSTALLATION, KIND = "atelier:installation", "atelier:webui"
RUNS, BEFORE = "atelier:image", "atelier:previous-image"
COMMIT, COMMIT_BEFORE = "atelier:upstream-commit", "atelier:previous-upstream-commit"
EXPIRES = "atelier:expires"
SAYS_IMAGE = "X-Atelier-Image"
ALIVE = ("pending", "running", "stopping", "stopped", "shutting-down")
GAVE_UP = re.compile(r"workstation: line \d+ failed")
"""What the console says last when the user data has failed."""
LOOKS_UNSEEN = 12
"""How often EC2 may be asked for an instance that it has just begun before that is to be found."""
PATIENCE = 1200.0
"""Seconds that a new instance may take: it pulls an image of some gigabytes."""
WORDS = {
    "InsufficientInstanceCapacity": "AWS has none of that type free here now: try another --instance-type",
    "InstanceLimitExceeded": "have the quota raised, or choose another --instance-type",
    "VcpuLimitExceeded": "have the quota of vCPUs raised, or choose another --instance-type",
    "MaxSpotInstanceCountExceeded": "have the quota of spot instances raised, or deploy without spot",
    "InvalidParameterValue": "choose another --instance-type",
}
"""What to do about a launch that is refused."""


@dataclass(frozen=True, kw_only=True)
class Workstation:
    """One instance that runs the WebUI."""

    id: str
    state: str
    instance_type: str
    url: str
    image: str
    upstream_commit: str
    launched: datetime | None
    previous_image: str = ""
    previous_upstream_commit: str = ""
    expires: datetime | None = None
    volumes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Login:
    """How a person gets in: the name, and the secret that holds the password."""

    username: str
    secret_arn: str


@dataclass(frozen=True, kw_only=True)
class Workstations:
    """The workstations of one installation."""

    clients: Clients
    prefix: str = PREFIX
    sleep: Callable[[float], None] = time.sleep
    patience: float = PATIENCE

    def instance_type(self) -> str:
        """Return what the launch template starts unless told otherwise."""
        found = self.clients.ec2.describe_launch_template_versions(
            LaunchTemplateName=self._stack()["LaunchTemplateName"], Versions=["$Latest"]
        )
        return str(found["LaunchTemplateVersions"][0]["LaunchTemplateData"]["InstanceType"])

    def login(self) -> Login:
        """Return how a person gets in."""
        found = self._stack()
        return Login(username=found["WebuiUser"], secret_arn=found["PasswordSecretArn"])

    def password(self) -> str:
        """Return the password, for a person who asked to see it."""
        secret = self.login().secret_arn
        return self.clients.secretsmanager.get_secret_value(SecretId=secret)["SecretString"]

    def launch(self, image: Image, *, instance_type: str = "", expires: datetime | None = None) -> str:
        """Start a new instance of an image and return its id."""
        tags = {
            "Name": f"{self.prefix}-webui",
            INSTALLATION: self.prefix,
            KIND: "yes",
            RUNS: image.uri,
            COMMIT: image.upstream_commit,
            **({EXPIRES: str(round(expires.timestamp()))} if expires else {}),
        }
        more: Any = {"InstanceType": instance_type} if instance_type else {}
        template = self._stack()["LaunchTemplateName"]
        try:
            made = self.clients.ec2.run_instances(
                LaunchTemplate={"LaunchTemplateName": template, "Version": "$Latest"},
                MinCount=1,
                MaxCount=1,
                ClientToken=uuid.uuid4().hex,
                TagSpecifications=[{"ResourceType": "instance", "Tags": _tags(tags)}],
                **more,
            )
        except ClientError as error:
            raise _refused(error) from error
        return made["Instances"][0]["InstanceId"]

    def found(self) -> list[Workstation]:
        """Return every workstation that is not terminated, the newest first."""
        pages = self.clients.ec2.get_paginator("describe_instances").paginate(
            Filters=[
                {"Name": f"tag:{INSTALLATION}", "Values": [self.prefix]},
                {"Name": f"tag:{KIND}", "Values": ["yes"]},
                {"Name": "instance-state-name", "Values": list(ALIVE)},
            ]
        )
        instances = [each for page in pages for group in page["Reservations"] for each in group["Instances"]]
        oldest = datetime.min.replace(tzinfo=UTC)
        return sorted(map(_workstation, instances), key=lambda each: each.launched or oldest, reverse=True)

    def only(self, id: str | None) -> Workstation:
        """Return the workstation of that id, or the one there is when none is given."""
        found = self.found()
        if id is not None:
            for each in found:
                if each.id == id:
                    return each
            others = ", ".join(each.id for each in found) or "none"
            raise NotFound(f"there is no workstation {id} in {self.clients.where}; there is {others}")
        if len(found) == 1:
            return found[0]
        if not found:
            raise NotFound(
                f"there is no workstation in {self.clients.where}: `atelier webui launch` starts one"
            )
        raise Problem(f"say which workstation: {', '.join(each.id for each in found)}")

    def ready(self, id: str, *, wanted: str = "") -> Workstation:
        """Wait until the WebUI answers, from the image whose digest is *wanted*; raise Problem when not."""
        for now in self._looks(id, "to answer"):
            if now.state in {"stopping", "stopped", "shutting-down"}:
                raise Problem(f"workstation {id} is {now.state} before its WebUI answered: {self._why(id)}")
            said = answering(now.url) if now.state == "running" and now.url else None
            if said is not None and wanted in {"", said}:
                return now
            if GAVE_UP.search(why := self._why(id)):
                raise Problem(f"workstation {id} could not start its WebUI: {why}")
        raise AssertionError("a look either returns or raises")

    def start(self, id: str) -> None:
        """Start one that is stopped; it forgets a time to live that is over, which would stop it at once."""
        for now in self._looks(id, "to stop"):
            if now.state != "stopping":
                break
        if now.expires and now.expires <= datetime.now(UTC):
            self.clients.ec2.delete_tags(Resources=[id], Tags=[{"Key": EXPIRES}])
        try:
            self.clients.ec2.start_instances(InstanceIds=[id])
        except ClientError as error:
            raise _refused(error) from error

    def stop(self, id: str) -> None:
        """Stop one; its volumes stay."""
        self.clients.ec2.stop_instances(InstanceIds=[id])

    def move(self, now: Workstation, *, to: str, commit: str) -> None:
        """Have it run another image, which it starts at its next boot, and boot it."""
        tags = {RUNS: to, COMMIT: commit, BEFORE: now.image, COMMIT_BEFORE: now.upstream_commit}
        self.clients.ec2.create_tags(Resources=[now.id], Tags=_tags(tags))
        if now.state == "running":
            self.clients.ec2.reboot_instances(InstanceIds=[now.id])
        elif now.state in {"stopping", "stopped"}:
            self.start(now.id)

    def terminate(self, now: Workstation, *, with_data: bool) -> list[str]:
        """End it; return the volumes that stay, none when their data shall go too."""
        self.clients.ec2.terminate_instances(InstanceIds=[now.id])
        self._gone(now.id)
        left = [each for each in now.volumes if self._is_volume(each)]
        if not with_data:
            return left
        for each in left:
            self.clients.ec2.delete_volume(VolumeId=each)
        return []

    def _stack(self) -> Mapping[str, str]:
        try:
            return outputs(self.clients, f"{self.prefix}-{STACK}")
        except NotDeployed as error:
            raise NotDeployed(
                f"there is no workstation stack {self.prefix} in {self.clients.where}: {DEPLOY}"
            ) from error

    def _looks(self, id: str, until: str) -> Iterator[Workstation]:
        """Look at a workstation again and again; raise Problem when it takes too long."""
        start, pause, unseen = time.monotonic(), 0.3, 0
        while time.monotonic() - start < self.patience:
            if now := self._seen(id):
                yield now
            elif (unseen := unseen + 1) > LOOKS_UNSEEN:
                raise NotFound(f"there is no workstation {id} in {self.clients.where}")
            self.sleep(pause)
            pause = min(pause * 1.3, 5.0)
        minutes = self.patience / 60
        raise Problem(f"waited {minutes:.0f} minutes for workstation {id} {until}: {self._why(id)}")

    def _gone(self, id: str) -> None:
        start, pause = time.monotonic(), 0.3
        while any(each.id == id for each in self.found()):
            if time.monotonic() - start > self.patience:
                raise Problem(f"workstation {id} is still there; see `atelier webui list`")
            self.sleep(pause)
            pause = min(pause * 1.3, 5.0)

    def _seen(self, id: str) -> Workstation | None:
        """Return a workstation, None if EC2 does not tell of it yet; raise Problem when it is terminated."""
        for each in self.found():
            if each.id == id:
                return each
        try:
            groups = self.clients.ec2.describe_instances(InstanceIds=[id])["Reservations"]
        except ClientError as error:
            if error.response["Error"]["Code"] == "InvalidInstanceID.NotFound":
                return None
            raise
        for instance in (each for group in groups for each in group["Instances"]):
            if instance["State"]["Name"] == "terminated":
                reason = instance.get("StateReason", {}).get("Message", "no reason is given")
                raise Problem(f"workstation {id} is terminated: {reason}")
        return None

    def _why(self, id: str) -> str:
        """Return the last lines that it wrote to its console, or where a person finds them."""
        try:
            said = self.clients.ec2.get_console_output(InstanceId=id).get("Output", "")
        except ClientError:
            said = ""
        lines = [each.strip() for each in said.splitlines() if each.strip()]
        return (
            " | ".join(lines[-4:]) or f"`aws ec2 get-console-output --instance-id {id}` says why, a bit later"
        )

    def _is_volume(self, id: str) -> bool:
        try:
            return bool(self.clients.ec2.describe_volumes(VolumeIds=[id])["Volumes"])
        except ClientError as error:
            if error.response["Error"]["Code"] == "InvalidVolume.NotFound":
                return False
            raise


def answering(url: str) -> str | None:
    """Return the digest of the image that answers at *url*, empty if it does not say; None without an answer.

    The certificate is the instance's own, made at its first boot: nobody has vouched for it.
    """
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    proxies: Any = {} if url.startswith("https://127.") else None  # None: as the environment says
    ways = urllib.request.ProxyHandler(proxies), urllib.request.HTTPSHandler(context=context)
    try:
        with urllib.request.build_opener(*ways).open(url, timeout=10) as answer:
            return str(answer.headers.get(SAYS_IMAGE, ""))
    except urllib.error.HTTPError as error:
        with error:
            return str(error.headers.get(SAYS_IMAGE, "")) if error.code < 500 else None
    except OSError:
        return None


def _refused(error: ClientError) -> Problem:
    said = error.response["Error"]
    advice = WORDS.get(said["Code"])
    if advice is None:
        return Refusal(f"{said['Message']} ({said['Code']})")
    return Refusal(f"{said['Message']} ({said['Code']}): {advice}")


def _tags(tags: Mapping[str, str]) -> Sequence[Any]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _workstation(instance: InstanceTypeDef) -> Workstation:
    tags = {each.get("Key", ""): each.get("Value", "") for each in instance.get("Tags", [])}
    host = instance.get("PublicDnsName") or instance.get("PublicIpAddress", "")
    expires = tags.get(EXPIRES, "")
    return Workstation(
        id=instance["InstanceId"],
        state=instance["State"]["Name"],
        instance_type=instance.get("InstanceType", ""),
        url=f"https://{host}/" if host else "",
        image=tags.get(RUNS, ""),
        upstream_commit=tags.get(COMMIT, ""),
        launched=instance.get("LaunchTime"),
        previous_image=tags.get(BEFORE, ""),
        previous_upstream_commit=tags.get(COMMIT_BEFORE, ""),
        expires=datetime.fromtimestamp(int(expires), UTC) if expires.isdecimal() else None,
        volumes=tuple(_kept(instance)),
    )


def _kept(instance: InstanceTypeDef) -> Iterator[str]:
    """Yield the volumes that outlive the instance."""
    for each in instance.get("BlockDeviceMappings", []):
        volume = each.get("Ebs", {})
        if not volume.get("DeleteOnTermination", True) and "VolumeId" in volume:
            yield volume["VolumeId"]
