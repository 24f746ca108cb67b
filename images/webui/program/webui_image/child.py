"""The WebUI as a process of this one, which is the container's first: it hands on signals and waits."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from webui_image.settings import Settings

#: Docker kills 10 seconds after SIGTERM, SageMaker after 30; nothing of the WebUI's is lost by an early end.
GRACE_SECONDS = 5.0
POLL_SECONDS = 0.5
#: What is ours alone: the WebUI must not find the packages of the face, nor read a stranger's PYTHONPATH.
OURS = ("PYTHONPATH", "PYTHONHOME")


def start(settings: Settings, *arguments: str) -> "subprocess.Popen[bytes]":
    """Start the WebUI; it prepares nothing, for all that it needs is in the image."""
    for name in ("models", "outputs", "extensions"):
        (settings.data / name).mkdir(parents=True, exist_ok=True)
    own = ["--skip-prepare-environment", "--no-download-sd-model", "--data-dir", str(settings.data)]
    command = [sys.executable, "-u", "launch.py", *own, *settings.arguments, *arguments]
    environment = {name: value for name, value in os.environ.items() if name not in OURS}
    return subprocess.Popen(command, cwd=settings.webui, env=environment)


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End it: first asked, then not."""
    process.terminate()
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def watch(process: "subprocess.Popen[bytes]", signals: Sequence[signal.Signals]) -> int:
    """Wait for its end; 0 if it was asked for by a signal, else what the WebUI ended with, never 0."""
    asked: list[float] = []

    def ask(_number: int, _frame: object) -> None:
        asked.append(time.monotonic())
        process.terminate()

    for each in signals:
        signal.signal(each, ask)
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = process.wait(POLL_SECONDS)
            return 0 if asked else (code or 1)
        if asked and time.monotonic() - asked[0] > GRACE_SECONDS:
            process.kill()
