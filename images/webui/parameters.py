"""What the pipeline has published in SSM, read by the `aws` command."""

import subprocess
from collections.abc import Mapping

from declaration import Refused

FOLDER = "ParameterPath"


def published(name: str, environment: Mapping[str, str]) -> str | None:
    """Return a parameter of the pipeline, or None where nothing was published, or no folder is named."""
    folder = environment.get(FOLDER)
    return _read(f"{folder}/{name}") if folder else None


def _read(name: str) -> str | None:
    command = [
        "aws",
        "ssm",
        "get-parameter",
        "--name",
        name,
        "--query",
        "Parameter.Value",
        "--output",
        "text",
    ]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    if asked.returncode == 0:
        return asked.stdout.strip()
    if "ParameterNotFound" in asked.stderr:
        return None
    said = (asked.stderr.strip().splitlines() or ["it said nothing"])[-1]
    raise Refused(f"aws ssm get-parameter --name {name} ended with {asked.returncode}: {said}")
