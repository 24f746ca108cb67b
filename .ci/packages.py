"""What pip is told in an image that is built on this machine: its settings, and its folders shown by HTTP.

A folder of this machine cannot be seen from inside a build; an address of the loopback interface can be.
"""

import ast
import http.server
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

PLACES = ("index-url", "extra-index-url", "find-links")
NOWHERE = "/nonexistent"


def local() -> list[str]:
    """Return the folders that pip is configured to look into."""
    named = (_path(each) for name in PLACES for each in configured(name))
    return [each for each in named if Path(each).is_dir()]


def settings(urls: list[str]) -> dict[str, str]:
    """Return pip's variables in the image: what is configured here, with the folders reached by *urls*."""
    by_place = {urlsplit(each).path: each for each in urls}
    found = {"PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    for name in PLACES:
        named = [each for each in configured(name) if not urlsplit(each).username]  # no password in an image
        if named:
            found[f"PIP_{name.replace('-', '_').upper()}"] = " ".join(
                by_place.get(_path(each), each) for each in named
            )
    return found


def configured(name: str) -> list[str]:
    """Return what pip's configuration here gives for a setting of several values."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    values = dict(each.split("=", 1) for each in listed if "=" in each)
    value = values.get(f":env:.{name}") or values.get(f"global.{name}") or "''"
    return str(ast.literal_eval(value)).split()


def _path(place: str) -> str:
    return unquote(urlsplit(place).path) if place.startswith("file:") else place


class Packages(http.server.SimpleHTTPRequestHandler):
    """Files of the shown folders; of an index, the files beside it too, which its pages link to."""

    def __init__(self, *args: Any, shown: list[str], **options: Any) -> None:
        self._roots = [Path(each).resolve() for each in shown]
        self._roots += [each.parent / "files" for each in self._roots if each.name == "simple"]
        super().__init__(*args, directory="/", **options)

    def translate_path(self, path: str) -> str:
        """Return the file behind *path*, or one that is not there."""
        place = super().translate_path(path)
        is_shown = any(Path(place).resolve().is_relative_to(each) for each in self._roots)
        return place if is_shown else NOWHERE


def serve(state: Path, port: int, shown: list[str]) -> None:
    """Serve the folders until told to end, at *port* or another one; write into *state* which it is."""
    handler = partial(Packages, shown=shown)
    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    aside = state.with_name(f"{state.name}.{os.getpid()}")
    aside.write_text(json.dumps({"port": server.server_port, "shown": shown}))
    aside.rename(state)
    server.serve_forever()


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
