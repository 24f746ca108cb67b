"""Serve the model that a parameter names, behind a load balancer: proven first, and not before."""

import signal
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import FrameType

from gpt_neo import landed, server
from gpt_neo.application import Loaded, Service
from gpt_neo.errors import Failure
from gpt_neo.metrics import say

#: Longer than a load balancer keeps a connection that is idle: who closes first must be the one who asks.
KEEP_ALIVE_SECONDS = 75
#: Longer than the load balancer lets a request last (60), shorter than ECS waits before it kills (90).
DRAIN_SECONDS = 75


class Ended(BaseException):
    """SIGTERM came before there was anything to serve."""


def main(environment: Mapping[str, str]) -> int:
    """Serve until SIGTERM; without a model that is good enough, say why in one line and end."""
    signal.signal(signal.SIGTERM, _end)
    try:
        listening = server.Listening.read(environment, "PORT", KEEP_ALIVE_SECONDS, DRAIN_SECONDS)
        with tempfile.TemporaryDirectory(prefix="fleet-") as scratch:
            loaded = prepare(environment, Path(scratch))
        return server.run(Service(load=lambda: loaded, give_up=_fail), listening)
    except Ended:
        return 0
    except Failure as error:
        return _fail(str(error))
    except Exception as error:  # whatever it is, the last line of the log is the reason that people read
        return _fail(f"{type(error).__name__}: {error}")


def prepare(environment: Mapping[str, str], folder: Path) -> Loaded:
    """Fetch the model, load it, and have it prove itself."""
    parameter = environment.get("MODEL_PARAMETER")
    if not parameter:
        raise Failure("MODEL_PARAMETER names no parameter of SSM: it says which model to serve")
    model = landed.named(landed.client("ssm", environment), parameter)
    say(f"fetching name={model.name} size={model.size} version={model.version_id}")
    unpacked = landed.fetch(landed.client("s3", environment), model, folder)
    from gpt_neo import (
        proof,
    )  # imports torch, which takes seconds: what can fail without it has failed by now

    bits = proof.prove(unpacked, environment.get("GPT_NEO_PROBE") or proof.PROBE)
    loaded = server.load(unpacked)
    say(f"proven name={model.name} bits_per_token={bits:.3f}")
    return replace(loaded, about={**loaded.about, **model.about})


def _end(number: int, frame: FrameType | None) -> None:
    raise Ended


def _fail(reason: str) -> int:
    sys.stdout.flush()
    sys.stderr.write(f"error: {' '.join(reason.split())}\n")
    sys.stderr.flush()
    return 1
