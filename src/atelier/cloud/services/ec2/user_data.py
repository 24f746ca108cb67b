"""User data: what an instance runs when it boots. Checked when it comes, so that nobody waits for nothing."""

from __future__ import annotations

import base64
import binascii
import shutil
import subprocess

from atelier.cloud.services.ec2.machine.parts import Malformed, scripts
from atelier.cloud.services.wire import ServiceError

MOST = 16_384
"""Bytes that EC2 takes, before base64."""


def check(encoded: str) -> None:
    """Raise ServiceError for user data that EC2 or the machine's boot would not take."""
    try:
        body = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _malformed("Invalid BASE64 encoding of user data.") from error
    if len(body) > MOST:
        raise _malformed(f"User data is limited to {MOST} bytes, and this has {len(body)}")
    try:
        for name, text in scripts(body):
            _parse(name, text)
    except (Malformed, UnicodeDecodeError) as error:
        raise _malformed(str(error)) from error


def _parse(name: str, text: str) -> None:
    """Have the shell read a script without running it; what another interpreter runs is its own matter."""
    words = text.partition("\n")[0].removeprefix("#!").split()
    if not words:
        raise _malformed(f"{name} names no interpreter behind the #! of its first line")
    shell = words[0].rpartition("/")[2]
    found = shutil.which(shell) if shell in ("bash", "sh", "dash") else None
    if found is None:
        return
    read = subprocess.run([found, "-n"], input=text, capture_output=True, text=True, check=False)
    if read.returncode:
        raise _malformed(f"{name} is no {shell} script: {read.stderr.strip()}")


def _malformed(message: str) -> ServiceError:
    return ServiceError("InvalidUserData.Malformed", message)
