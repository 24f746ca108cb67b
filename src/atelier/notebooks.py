"""The notebooks, executed from top to bottom: which, by what interpreter, and what they are told."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atelier.client.errors import Problem
from atelier.deploy import CHECKOUT

if TYPE_CHECKING:
    from atelier.client.middleware import Api

FOLDER = CHECKOUT / "notebooks"
PROGRAM = FOLDER / "execute.py"
PYTHON = CHECKOUT / ".venv" / "notebooks" / "bin" / "python"
"""What `make notebooks` sets up: an environment of its own, as the SageMaker SDK's packages are not ours."""

PAINTING = "4"


def chosen(names: Sequence[str] = ()) -> list[Path]:
    """Return the notebooks whose names begin with one of *names*, in their order; all of them without any."""
    there = sorted(FOLDER.glob("*.ipynb"))
    if not there:
        raise Problem(f"{FOLDER} has no notebooks: they are in a checkout of this repository")
    for name in names:
        if not any(path.name.startswith(name) for path in there):
            raise Problem(
                f"no notebook is called {name}…; there are {', '.join(each.stem for each in there)}"
            )
    return [path for path in there if not names or path.name.startswith(tuple(names))]


def need_middleware(notebooks: Sequence[Path]) -> bool:
    """Say whether one of them calls the middleware."""
    return any(path.name.startswith(PAINTING) for path in notebooks)


def told(prefix: str, api: Api | None = None) -> dict[str, str]:
    """Return the variables by which notebooks find an installation, and its API for a user."""
    opened = {} if api is None else {
        "ATELIER_API_URL": api.url, "ATELIER_API_TOKEN": api.token, "ATELIER_API_USER": api.username,
    }  # fmt: skip
    return {"ATELIER_PREFIX": prefix, **opened}


def execute(
    notebooks: Sequence[Path],
    *,
    environment: Mapping[str, str],
    parameters: Mapping[str, Any],
    out: Path,
    python: Path = PYTHON,
) -> None:
    """Execute notebooks, whose progress goes to the terminal; raise Problem when one fails."""
    if not python.exists():
        raise Problem(f"{python} is not there: `make .venv/notebooks` sets it up")
    command = [python, PROGRAM, *notebooks, "--out", out, "--set", json.dumps(parameters)]
    done = subprocess.run([str(each) for each in command], env=dict(environment), check=False)
    if done.returncode:
        raise Problem(f"the notebooks were not executed to their end; what was written is in {out}")
