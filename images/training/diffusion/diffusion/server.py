"""Serve as SageMaker expects: a port, a ping, and a quiet end."""

import os
import signal
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from diffusion.application import Answerer, Service
from diffusion.errors import Failure

#: SageMaker kills 30 seconds after SIGTERM; answers that take longer are given up in time.
DRAIN_SECONDS = 25
#: How long /ping tells why the container cannot serve, before the process ends.
LINGER_SECONDS = 1.0

GIB = 1024**3


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the environment may say."""

    host: str
    port: int
    folder: Path
    capacity: int
    max_loaded: int
    max_queue: int
    max_body: int

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "Settings":
        """Read the environment; refuse what makes no sense."""
        elsewhere = environment.get("DIFFUSION_CACHE_DIR")
        return cls(
            host=environment.get("BIND_HOST", "0.0.0.0"),
            port=_whole(environment, "SAGEMAKER_BIND_TO_PORT", 8080, 65535),
            folder=Path(elsewhere) if elsewhere else Path(tempfile.gettempdir()) / "checkpoints",
            capacity=_whole(environment, "DIFFUSION_CACHE_BYTES", 20 * GIB, 2**60),
            max_loaded=_whole(environment, "DIFFUSION_MAX_LOADED", 2, 100),
            max_queue=_whole(environment, "DIFFUSION_MAX_QUEUE", 16, 1000),
            max_body=_whole(environment, "DIFFUSION_MAX_BODY", 32 * 1024 * 1024, GIB),
        )


def main(environment: Mapping[str, str]) -> int:
    """Serve until SIGTERM; 0 if it ended as asked, 1 if it could never serve."""
    try:
        settings = Settings.read(environment)
    except Failure as error:
        sys.stderr.write(f"failed: {error}\n")
        return 1

    def give_up(reason: str) -> None:
        sys.stderr.write(f"failed: {reason}\n")
        ending = threading.Timer(LINGER_SECONDS, setattr, (server, "should_exit", True))
        ending.daemon = True
        ending.start()

    service = Service(
        prepare=lambda: prepare(settings),
        give_up=give_up,
        max_queue=settings.max_queue,
        max_body=settings.max_body,
    )
    server = uvicorn.Server(
        uvicorn.Config(
            service.application(),
            host=settings.host,
            port=settings.port,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )
    )
    # uvicorn drains on SIGTERM and then raises it again: to end by a signal would look like a crash.
    signal.signal(signal.SIGTERM, lambda *_: None)
    server.run()
    return 1 if service.failure else 0


def prepare(settings: Settings) -> Answerer:
    """Make what answers; torch is imported here, so that /ping answers from the start."""
    import torch

    from diffusion import s3
    from diffusion.cache import Cache
    from diffusion.models import Models, Place
    from diffusion.studio import Studio

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.backends.cudnn.deterministic = True
    cache = Cache(settings.folder, settings.capacity, s3.S3(s3.client()))
    return Studio(cache, Models(settings.max_loaded, Place.here()))


def _whole(environment: Mapping[str, str], name: str, default: int, high: int) -> int:
    text = environment.get(name, str(default))
    if not text.isdecimal() or not 1 <= int(text) <= high:
        raise Failure(f"{name}={text!r} must be a whole number from 1 to {high}")
    return int(text)
