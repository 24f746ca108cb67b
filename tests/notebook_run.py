"""Notebooks executed by a test: their environment, and what the copies show."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from atelier import notebooks


def execute(names: list[str], out: Path, variables: dict[str, str], **parameters: Any) -> dict[str, Shown]:
    """Execute notebooks with these variables alone; return what each shows, by its number."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(out), **variables}
    notebooks.execute(notebooks.chosen(names), environment=environment, parameters=parameters, out=out)
    return {path.name[0]: Shown(path) for path in sorted(out.glob("*.ipynb"))}


class Shown:
    """What an executed notebook shows."""

    def __init__(self, path: Path) -> None:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        self._outputs = [output for cell in cells for output in cell.get("outputs", [])]

    @property
    def text(self) -> str:
        """What was printed."""
        return "".join("".join(each["text"]) for each in self._outputs if each["output_type"] == "stream")

    @property
    def plots(self) -> int:
        """How many plots there are."""
        return sum("image/png" in each.get("data", {}) for each in self._outputs)

    @property
    def tables(self) -> list[str]:
        """The tables as text."""
        found = [each["data"] for each in self._outputs if "text/html" in each.get("data", {})]
        return ["".join(each["text/plain"]) for each in found]
