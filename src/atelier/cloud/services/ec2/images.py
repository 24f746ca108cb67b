"""Machine images: one, in Amazon Linux 2023's place for user data that needs a shell, Docker and `aws`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from atelier.cloud.context import Cloud
from atelier.cloud.services.ec2.service import SERVICE, filtered, page, unsupported
from atelier.cloud.services.wire import Document, ServiceError, everything
from atelier.cloud.store import Record

ID = "ami-0c2023a1b2c3d4e5f"
"""What SSM here says of Amazon Linux 2023."""
PUBLIC = re.compile(
    r"resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-[\w.]+-(x86_64|arm64)"
)

INSIDE = "opt/machine/atelier/cloud/services/ec2/machine"
FOLDER = Path(__file__).parent / "machine"
PROGRAMS = ("boot.py", "parts.py", "docker.py")

# Its programs run once while it is built: what Python then compiles, no boot has to.
DOCKERFILE = f"""\
FROM public.ecr.aws/docker/library/python:3.11-slim-bookworm
COPY requirements.lock /opt/machine/requirements.lock
RUN python3 -m pip install --no-cache-dir --no-compile --disable-pip-version-check --require-hashes \\
    -r /opt/machine/requirements.lock \\
    && caddy version && aws configure list >/dev/null
COPY shutdown.sh /usr/local/sbin/shutdown
COPY {" ".join(PROGRAMS)} /{INSIDE}/
RUN printf '#!/bin/sh\\nexec python3 /{INSIDE}/docker.py "$@"\\n' >/usr/local/bin/docker \\
    && chmod 755 /usr/local/bin/docker
ENV PYTHONPATH=/opt/machine PYTHONUNBUFFERED=1
ENTRYPOINT ["python3", "-m", "atelier.cloud.services.ec2.machine.boot"]
"""


@SERVICE.operation("DescribeImages", on=everything)
def describe(_cloud: Cloud, request: Document) -> Document:
    """List the machine images."""
    unsupported(request, ("ImageIds", "Owners", "Filters", "MaxResults", "NextToken"), "DescribeImages")
    for each in request.get("ImageIds", ()):
        resolved(each)
    row = {
        "ImageId": ID,
        "Name": "atelier-machine",
        "Description": "Debian in a container, in the place of Amazon Linux 2023",
        "State": "available",
        "RootDeviceName": "/dev/xvda",
        "Public": True,
    }
    shown, token = page(filtered([row], request.get("Filters", ()), _values), request)
    return {"Images": shown, "NextToken": token}


def _values(row: Record, name: str) -> Iterable[str] | None:
    return [row["ImageId"]] if name == "image-id" else [row["State"]] if name == "state" else None


def resolved(image: str) -> str:
    """Return the id of a machine image that is named by it or by its public parameter."""
    if image == ID or PUBLIC.fullmatch(image):
        return ID
    raise ServiceError(
        "InvalidAMIID.NotFound",
        f"The image id '[{image}]' does not exist: the local cloud has {ID} only (Amazon Linux 2023)",
    )


@cache
def files() -> Mapping[str, bytes]:
    """Return what the image of machines is built from."""
    names = (*PROGRAMS, "requirements.lock", "shutdown.sh")
    return {"Dockerfile": DOCKERFILE.encode(), **{name: (FOLDER / name).read_bytes() for name in names}}


def tag() -> str:
    """Return the image's name in the engine: that of its content."""
    digest = hashlib.sha256()
    for name, body in sorted(files().items()):
        digest.update(name.encode() + b"\0" + body + b"\0")
    return f"atelier-machine:{digest.hexdigest()[:16]}"
