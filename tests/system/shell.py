"""The clients that people have, unchanged: git, `aws` and `docker`, before a running cloud."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from engine_door import engine_host

from atelier.cloud.gateway import launch


class Shell:
    """A shell as `atelier env` makes it, with a HOME of its own."""

    def __init__(self, connection: launch.Connection, home: Path) -> None:
        home.mkdir()
        self.home = home
        self.environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(home),
            "DOCKER_HOST": engine_host(),
            "AWS_ENDPOINT_URL": connection.endpoint,
            "AWS_DEFAULT_REGION": connection.region,
            "AWS_ACCESS_KEY_ID": connection.access_key,
            "AWS_SECRET_ACCESS_KEY": connection.secret_key,
        }

    def run(self, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run lines of shell in the HOME, with these variables."""
        return subprocess.run(
            ["sh", "-euc", script],
            cwd=self.home,
            env={**self.environment, **variables},
            text=True,
            capture_output=True,
            check=False,
        )

    def says(self, script: str, **variables: str) -> str:
        """Run lines that succeed; return what they say."""
        done = self.run(script, **variables)
        assert 0 == done.returncode, done.stderr
        return done.stdout.strip()

    def json(self, script: str, **variables: str) -> Any:
        """Run lines that succeed and say JSON."""
        return json.loads(self.says(script, **variables))
