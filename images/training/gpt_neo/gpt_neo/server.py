"""Serve the model as SageMaker expects: a port, a ping, and a quiet end."""

import os
import signal
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from gpt_neo import artefact
from gpt_neo.application import Loaded, Service
from gpt_neo.errors import Failure
from gpt_neo.prompts import Limits

#: SageMaker kills 30 seconds after SIGTERM; answers that take longer are given up in time.
DRAIN_SECONDS = 25
#: How long /ping tells why the model cannot be loaded, before the process ends.
LINGER_SECONDS = 1.0
#: A model this small computes faster on one core than two cores agree on who does what.
SMALL = 20_000_000


@dataclass(frozen=True, kw_only=True)
class Listening:
    """Where to listen, and how much at once."""

    host: str
    port: int
    max_batch: int
    max_queue: int
    keep_alive: int
    drain: int

    @classmethod
    def read(
        cls, environment: Mapping[str, str], port: str, keep_alive: int = 5, drain: int = DRAIN_SECONDS
    ) -> "Listening":
        """Read it from the environment, in which the variable *port* names the port."""
        return cls(
            host=environment.get("BIND_HOST", "0.0.0.0"),
            port=_whole(environment, port, 8080, 65535),
            max_batch=_whole(environment, "GPT_NEO_MAX_BATCH", 16, 1024),
            max_queue=_whole(environment, "GPT_NEO_MAX_QUEUE", 64, 100_000),
            keep_alive=keep_alive,
            drain=drain,
        )


def main(base: Path, environment: Mapping[str, str]) -> int:
    """Serve until SIGTERM; 0 if everything in flight was answered, 1 if there was never a model."""
    try:
        listening = Listening.read(environment, "SAGEMAKER_BIND_TO_PORT")
    except Failure as error:
        sys.stderr.write(f"failed: {error}\n")
        return 1
    service = Service(
        load=lambda: load(base / "model"), give_up=lambda reason: sys.stderr.write(f"failed: {reason}\n")
    )
    return run(service, listening)


def run(service: Service, listening: Listening) -> int:
    """Serve until SIGTERM, or until there is no model to be had."""
    service.max_batch, service.max_queue = listening.max_batch, listening.max_queue
    told = service.give_up

    def give_up(reason: str) -> None:
        told(reason)
        ending = threading.Timer(LINGER_SECONDS, setattr, (server, "should_exit", True))
        ending.daemon = True
        ending.start()

    service.give_up = give_up
    server = uvicorn.Server(
        uvicorn.Config(
            service.application(),
            host=listening.host,
            port=listening.port,
            log_level="warning",
            access_log=False,
            timeout_keep_alive=listening.keep_alive,
            timeout_graceful_shutdown=listening.drain,
        )
    )
    # uvicorn drains on SIGTERM and then raises it again: to end by a signal would look like a crash.
    signal.signal(signal.SIGTERM, lambda *_: None)
    server.run()
    return 1 if service.failure else 0


def load(folder: Path) -> Loaded:
    """Load the model in *folder*; torch is imported here, so that /ping answers from the start."""
    configuration = artefact.configuration(folder)
    import torch
    from tokenizers import Tokenizer

    from gpt_neo import tokens
    from gpt_neo.decoding import Decoder
    from gpt_neo.inference import Model

    model = Model.load(folder, configuration, torch.float64)
    parameters = sum(each.numel() for each in model.weights.values())
    torch.set_num_threads(1 if parameters < SMALL else len(os.sched_getaffinity(0)))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    return Loaded(
        engine=Decoder(model, tokenizer, tokens.end(tokenizer)),
        encode=lambda text: tokenizer.encode(text).ids,
        limits=Limits(
            context=model.context,
            vocabulary=model.vocabulary,
            # In a byte-level vocabulary each character stands for one byte.
            token_bytes=max(map(len, tokenizer.get_vocab())),
        ),
        about=artefact.about(folder),
    )


def _whole(environment: Mapping[str, str], name: str, default: int, high: int) -> int:
    text = environment.get(name, str(default))
    if not text.isdecimal() or not 1 <= int(text) <= high:
        raise Failure(f"{name}={text!r} must be a whole number from 1 to {high}")
    return int(text)
