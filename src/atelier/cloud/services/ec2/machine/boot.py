"""The first process of a machine: fetches its user data, runs it as root, and stays until it is shut down."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from atelier.cloud.services.ec2.machine.parts import Malformed, scripts

PLACE = Path("/var/lib/cloud/instance/scripts")


def main() -> int:
    """Boot; return when the machine is told to end."""
    ending = signal.SIGTERM, signal.SIGINT, signal.SIGCHLD
    signal.pthread_sigmask(signal.SIG_BLOCK, ending)
    try:
        running = [_start(*each) for each in scripts(_user_data())]
        say("boot: user data runs" if running else "boot: there is no user data")
    except (Malformed, OSError) as error:
        say(f"boot: user data is not run: {error}")
        running = []
    while (number := signal.sigwait(ending)) == signal.SIGCHLD:
        _reap(running)
    say(f"boot: the machine ends ({signal.Signals(number).name})")
    return 0


def _user_data() -> bytes:
    service = os.environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"]
    ask = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    seconds = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    token = ask.open(
        urllib.request.Request(f"{service}/latest/api/token", method="PUT", headers=seconds), timeout=10
    )
    shown = {"X-aws-ec2-metadata-token": token.read().decode()}
    try:
        body = ask.open(
            urllib.request.Request(f"{service}/latest/user-data", headers=shown), timeout=10
        ).read()
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise
        body = b""
    return bytes(body)


def _start(name: str, text: str) -> tuple[str, subprocess.Popen[bytes]]:
    PLACE.mkdir(parents=True, exist_ok=True)
    path = PLACE / name.replace("/", "-")
    path.write_text(text)
    path.chmod(0o700)
    free = signal.SIGTERM, signal.SIGINT, signal.SIGCHLD
    return name, subprocess.Popen(
        [path], cwd="/", preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, free)
    )


def _reap(running: list[tuple[str, subprocess.Popen[bytes]]]) -> None:
    """Take leave of scripts and of what they have left running."""
    for each in list(running):
        name, process = each
        if process.poll() is not None:
            running.remove(each)
            say(f"boot: {name} ended with status {process.returncode}")
    known = {process.pid for _, process in running}
    try:
        while (
            waiting := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        ) and waiting.si_pid not in known:
            os.waitpid(waiting.si_pid, os.WNOHANG)
    except ChildProcessError:
        return


def say(line: str) -> None:
    """Write a line to the console."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
