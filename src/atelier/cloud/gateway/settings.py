"""What the parent tells the child process: where things are and how they are named."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ACCOUNT = "000000000000"
REGION = "us-east-1"
HOST = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class Home:
    """The places inside ``$ATELIER_HOME``."""

    root: Path

    @property
    def running(self) -> Path:
        """The file that says who serves this home, and where."""
        return self.root / "cloud.json"

    @property
    def credentials(self) -> Path:
        """The administrator's key; never in an environment or an argument."""
        return self.root / "credentials.json"

    @property
    def state(self) -> Path:
        """What survives a stop."""
        return self.root / "state"

    @property
    def port(self) -> Path:
        """The port that was used last: URLs in deployed stacks name it."""
        return self.state / "port"

    @property
    def engine(self) -> Path:
        """The container engine that this home's images are made for."""
        return self.state / "engine"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.root / "logs" / "cloud.log"

    @property
    def user(self) -> Path:
        """The HOME of the server, empty of anyone's configuration."""
        return self.root / "home"

    @property
    def temporary(self) -> Path:
        """TMPDIR of the server and its functions, emptied at start."""
        return self.root / "tmp"

    def make(self) -> None:
        """Create the folders, for their owner only."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.root.chmod(0o700)
        for each in (self.state, self.log.parent, self.user, self.temporary):
            each.mkdir(exist_ok=True, mode=0o700)
            each.chmod(0o700)
