"""The server process: ministack with our services in it. Started by `launch`, never by hand."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import shutil
import signal
import socket
import sys
from pathlib import Path

from atelier.cloud.gateway import engines, processes
from atelier.cloud.gateway.settings import ACCOUNT, HOST, REGION, Home
from atelier.cloud.store import Store

logger = logging.getLogger("atelier.cloud")


def main() -> None:
    """Serve the cloud of ``argv[1]`` on the listening socket ``argv[2]`` until SIGTERM."""
    os.umask(0o077)
    home, descriptor = Home(root=Path(sys.argv[1])), int(sys.argv[2])
    _empty(home.temporary)
    try:
        asyncio.run(_serve(home, descriptor))
    except Exception as error:  # the edge: the parent prints this line
        logger.exception("the local cloud ended")
        sys.stderr.write(f"cannot start: {error}\n")
        sys.exit(1)


def _empty(folder: Path) -> None:
    """Clear what an earlier, killed server left behind."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)


async def _serve(home: Home, descriptor: int) -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    from atelier.cloud.gateway.assembly import Gateway

    port = _port(descriptor)
    store = Store(home.state / "atelier.sqlite")
    engine, choice = engines.choose(home, store, os.environ)
    gateway = Gateway(home, f"http://{HOST}:{port}", store, engine)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    config = Config()
    config.bind = [f"fd://{descriptor}"]
    config.keep_alive_timeout = 75
    config.graceful_timeout = 3
    config.accesslog = None
    config.errorlog = logging.getLogger("hypercorn.error")
    started = asyncio.Event()
    serving = asyncio.create_task(serve(gateway.application(started.set), config, shutdown_trigger=stop.wait))
    await asyncio.wait([serving, asyncio.create_task(started.wait())], return_when=asyncio.FIRST_COMPLETED)
    if not serving.done():
        await gateway.up()
        gc.collect()
        gc.freeze()  # modules and models stay: looking through them again would hold every call up
        _announce(home, port, choice)
        await stop.wait()
        await gateway.down()
    await serving
    store.close()
    home.running.unlink(missing_ok=True)
    # Everything is saved and closed. What still runs is threads that wait for someone (a state machine in a
    # Wait, a call to an endpoint); the interpreter would wait for them too.
    sys.stderr.flush()
    os._exit(0)


def _port(descriptor: int) -> int:
    with socket.socket(fileno=os.dup(descriptor)) as listener:
        port: int = listener.getsockname()[1]
    return port


def _announce(home: Home, port: int, choice: engines.Choice) -> None:
    """Say that the cloud is up: the parent waits for this file."""
    record = {
        "pid": os.getpid(),
        "started": processes.started(os.getpid()),
        "port": port,
        "endpoint": f"http://{HOST}:{port}",
        "account": ACCOUNT,
        "region": REGION,
        "engine": choice.name,
        "engine_reason": choice.reason,
    }
    home.port.write_text(str(port), encoding="ascii")
    temporary = home.running.with_suffix(".new")
    temporary.write_text(json.dumps(record), encoding="utf-8")
    temporary.replace(home.running)


if __name__ == "__main__":
    main()
