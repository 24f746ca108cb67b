"""What the environment may say, checked before anything starts."""

import ipaddress
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

GIB = 1024**3


class Failure(Exception):
    """The container cannot run; the text says what is wrong, where, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where things are, and where the container listens."""

    webui: Path
    data: Path
    arguments: tuple[str, ...]
    face_packages: str
    host: str
    port: int
    face_port: int
    login: Path | None
    checkpoints: Path
    capacity: int
    max_queue: int
    max_body: int

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "Settings":
        """Read the environment; refuse what makes no sense."""
        login = environment.get("WEBUI_AUTH_FILE")
        kept = environment.get("WEBUI_CACHE_DIR") or str(Path(tempfile.gettempdir()) / "checkpoints")
        program = Path(environment.get("WEBUI_PROGRAM_DIR", "/opt/program"))
        return cls(
            webui=Path(environment.get("WEBUI_DIR", "/opt/webui")),
            data=Path(environment.get("WEBUI_DATA", "/data")),
            arguments=_lines(program / "arguments"),
            face_packages=environment.get("WEBUI_FACE_PACKAGES", "/opt/face"),
            host=environment.get("BIND_HOST", "0.0.0.0"),
            port=_whole(environment, "PORT", 7860, 65535),
            face_port=_whole(environment, "SAGEMAKER_BIND_TO_PORT", 8080, 65535),
            login=Path(login) if login else None,
            checkpoints=Path(kept),
            capacity=_whole(environment, "WEBUI_CACHE_BYTES", 20 * GIB, 2**60),
            max_queue=_whole(environment, "WEBUI_MAX_QUEUE", 16, 1000),
            max_body=_whole(environment, "WEBUI_MAX_BODY", 32 * 1024 * 1024, GIB),
        )

    @property
    def is_private(self) -> bool:
        """Say whether only this machine reaches the port."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def _lines(path: Path) -> tuple[str, ...]:
    return tuple(path.read_text(encoding="utf-8").splitlines()) if path.exists() else ()


def _whole(environment: Mapping[str, str], name: str, default: int, high: int) -> int:
    text = environment.get(name, str(default))
    if not text.isdecimal() or not 1 <= int(text) <= high:
        raise Failure(f"{name}={text!r} must be a whole number from 1 to {high}")
    return int(text)
