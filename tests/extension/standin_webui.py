"""A stand-in for a WebUI, started with the extension in its folder."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
STANDIN = Path(__file__).parent / "standin"
SECONDS = 90


@dataclass
class WebUI:
    """A WebUI that runs."""

    gradio: str
    url: str
    data: Path
    process: subprocess.Popen[bytes]

    @property
    def log(self) -> str:
        """Return what it has told on its terminal."""
        return (self.data / "log").read_text(errors="replace")

    @property
    def pictures(self) -> list[Path]:
        """Return the pictures that it has saved, the oldest first."""
        return sorted((self.data / "outputs").rglob("*.png"), key=lambda each: each.stat().st_mtime_ns)


def python(gradio: str) -> Path:
    """Return the interpreter that has that gradio."""
    return ROOT / ".venv" / gradio / "bin" / "python"


def copied(data: Path) -> Path:
    """Copy the extension whole, as a person would; return where it is."""
    target = data / "extensions" / "atelier"
    shutil.copytree(ROOT / "extension", target, ignore=shutil.ignore_patterns("__pycache__"))
    return target


@contextlib.contextmanager
def started(gradio: str, data: Path, *flags: str) -> Iterator[WebUI]:
    """Run the stand-in on a gradio until the end of the block."""
    copied(data)
    (data / "log").touch()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [python(gradio), "-P", STANDIN / "webui.py", "--port", str(port), "--data-dir", data, *flags]
    with (data / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=data, stdout=log, stderr=log, env=environment(data))
    webui = WebUI(gradio, f"http://127.0.0.1:{port}", data, process)
    try:
        _wait(webui, has_page="--nowebui" not in flags)
        yield webui
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def environment(data: Path) -> dict[str, str]:
    """Return variables that show it nothing of this machine's accounts or proxies."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": str(data),
        "TMPDIR": str(data),
        "GRADIO_TEMP_DIR": str(data / "gradio"),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "MPLBACKEND": "Agg",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUTF8": "1",
    }


def _wait(webui: WebUI, *, has_page: bool) -> None:
    """Wait until it answers; the page does so before the extension was told that it is there."""
    url, deadline = f"{webui.url}/sdapi/v1/progress", time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        assert webui.process.poll() is None, webui.log
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
            if not has_page or f"Running on {webui.url}\n" in webui.log:
                return
        time.sleep(0.1)
    raise AssertionError(f"{webui.gradio} does not answer:\n{webui.log}")
