"""The WebUI as a process of this one, which is the container's first: it hands on signals and waits."""

import contextlib
import os
import signal
import subprocess
import sys

from webui_image.settings import Settings

#: Docker kills 10 seconds after SIGTERM, SageMaker after 30; nothing of the WebUI's is lost by an early end.
GRACE_SECONDS = 5.0
POLL_SECONDS = 0.2
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


def run(settings: Settings, *arguments: str) -> int:
    """Run it to its end; 0 if that was asked for by a signal, else what it ended with, never 0."""
    asked: list[int] = []
    for each in (signal.SIGTERM, signal.SIGINT):  # before it starts: a signal in between is not lost
        signal.signal(each, lambda number, _frame: asked.append(number))
    process = start(settings, *arguments)
    while not asked:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(POLL_SECONDS) or 1
    stop(process)
    return 0
