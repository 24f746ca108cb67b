"""Lambda: ministack's pool of warm workers, with our processes in it."""

from __future__ import annotations

import contextvars
import json
import logging
import queue
import shutil
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from atelier.cloud.gateway.functions import environment
from atelier.cloud.gateway.functions.worker import END_OF_LOG
from atelier.cloud.gateway.hooks import state, workers
from atelier.cloud.gateway.hooks.private import replace, use

RUNTIME = "core.lambda_runtime"
LAMBDA = "services.lambda_svc"
AT_ONCE = 12
PATIENCE = 25.0
IDLE_SECONDS = 300.0
LAST_WORDS = 0.5
NO_RUNTIME = "the runtime {} is not part of the local cloud: Python functions are"

logger = logging.getLogger("atelier.cloud.functions")

# What went wrong in the invocation that runs in this context, as the function's caller must see it.
_failure: contextvars.ContextVar[dict[str, Any] | None] = contextvars.ContextVar(
    "function_failure", default=None
)


class InitFailed(Exception):
    """A function whose module could not be imported."""


@dataclass(frozen=True)
class Functions:
    """Where functions live on this machine, and what they see of the cloud."""

    folder: Path
    cloud: Mapping[str, str]
    _slots: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(AT_ONCE))

    def install(self) -> None:
        """Put our processes in the place of ministack's workers."""
        boto = environment.runtime(self.folder / "runtime")
        script = self.folder / "worker.py"
        source = resources.files("atelier.cloud.gateway.functions").joinpath("worker.py").read_text("utf-8")
        script.write_text(source, encoding="utf-8")
        shutil.rmtree(self.folder / "code", ignore_errors=True)
        workers.install()
        use(LAMBDA, "_resolve_layer_zip", "attachment")
        use(RUNTIME, "_RESERVED_RUNTIME_ENV_VARS", checked=False)
        spawn = _Spawn(self.folder, self.cloud, boto, script)
        replace(RUNTIME, "Worker._spawn", "self", by=lambda _: spawn)
        waits = ("self", "first_line_wait", "idle_confirm", "hard_cap")
        replace(RUNTIME, "Worker._drain_stderr_bounded", *waits, by=lambda _: _log_until_marked)
        replace(
            RUNTIME,
            "Worker.invoke",
            *("self", "event", "request_id", "trace_id", "depth", "durable", "invoked_function_arn"),
            by=_note_failure,
        )
        replace(LAMBDA, "_execute_function_warm", "func", "event", "request_id", by=self._in_a_slot)
        for name in ("docker", "local", "provided", "provided_warm"):
            replace(LAMBDA, f"_execute_function_{name}", "func", "event", "request_id", by=_refuse)
        threading.Thread(target=_reap, daemon=True, name="function-reaper").start()

    def stop(self) -> None:
        """End every function's process."""
        use(RUNTIME, "reset")()
        shutil.rmtree(self.folder / "running", ignore_errors=True)

    def _in_a_slot(self, original: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
        """Cap what runs at once, and say what really failed."""
        throttled = use(LAMBDA, "_throttle_response", "reason_code", "msg", "retry_after")

        def execute(func: Any, event: Any, request_id: str) -> dict[str, Any]:
            if not self._slots.acquire(timeout=PATIENCE):
                message = f"Rate Exceeded: {AT_ONCE} functions run already on this machine"
                refused: dict[str, Any] = throttled("ConcurrentInvocationLimitExceeded", message)
                return refused
            token = _failure.set(None)
            state.changed("lambda")
            try:
                return _explained(original(func, event, request_id), request_id)
            finally:
                _failure.reset(token)
                self._slots.release()

        return execute


class _Spawn:
    """`Worker._spawn` of ours: the same pool and protocol, another process."""

    def __init__(self, folder: Path, cloud: Mapping[str, str], boto: Path, script: Path) -> None:
        self._folder, self._cloud, self._boto, self._script = folder, cloud, boto, script

    def __get__(self, worker: Any, _owner: Any = None) -> Callable[[], None]:
        """Bind to a worker, as a function in a class does."""
        return lambda: self.start(worker)

    def start(self, worker: Any) -> None:
        """Start the process of *worker* and let it import its handler."""
        config, began = worker.config, time.monotonic()
        if not str(config.get("Runtime", "")).startswith("python3."):
            raise InitFailed(NO_RUNTIME.format(config.get("Runtime")))
        if worker._tmpdir:
            shutil.rmtree(worker._tmpdir, ignore_errors=True)
        worker._tmpdir = tempfile.mkdtemp(prefix=f"{worker.func_name}-", dir=self._places("running"))
        setup = self._prepare(worker, Path(worker._tmpdir))
        _listen_to_log(worker)
        worker._proc.stdin.write(json.dumps(setup) + "\n")
        worker._proc.stdin.flush()
        answer = json.loads(worker._proc.stdout.readline() or "{}")
        _expect_ready(worker, answer)
        worker._start_time = time.time()
        worker.seconds_to_start = time.monotonic() - began

    def _prepare(self, worker: Any, place: Path) -> dict[str, Any]:
        config, temporary = worker.config, place / "tmp"
        # one copy for all workers: what Python compiles at the first start serves the next ones
        code = environment.unpacked(worker.code_zip, self._places("code"))
        temporary.mkdir(mode=0o700)
        module, _, handler = str(config.get("Handler", "")).rpartition(".")
        worker._proc = subprocess.Popen(
            [*environment.interpreter(), str(self._script)],
            cwd=code,
            env={
                **self._variables(config),
                **{"LAMBDA_TASK_ROOT": str(code), "TMPDIR": str(temporary), "HOME": str(temporary)},
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            bufsize=1,
        )
        return {
            "path": environment.search_path(code, self._layers(config), self._boto),
            "module": module.replace("/", "."),
            "handler": handler,
            "function_name": config.get("FunctionName", ""),
            "memory": str(config.get("MemorySize", 128)),
            "arn": config.get("FunctionArn", ""),
            "timeout": float(config.get("Timeout", 3)),
        }

    def _variables(self, config: Mapping[str, Any]) -> dict[str, str]:
        reserved = use(RUNTIME, "_RESERVED_RUNTIME_ENV_VARS", checked=False)
        own = (config.get("Environment") or {}).get("Variables") or {}
        kept = {name: str(value) for name, value in own.items() if name not in reserved}
        credentials = use(RUNTIME, "execution_credentials", "config")(config)
        stream = f"{time.strftime('%Y/%m/%d')}/[{config.get('Version', '$LATEST')}]{uuid.uuid4().hex}"
        return environment.variables(kept, config, credentials, self._cloud) | {
            "AWS_LAMBDA_LOG_STREAM_NAME": stream
        }

    def _layers(self, config: Mapping[str, Any]) -> list[Path]:
        content = use(LAMBDA, "_resolve_layer_zip", checked=False)
        layers = self._places("layers")
        found = []
        for attached in config.get("Layers") or ():
            archive = content(attached)
            if archive is None:
                raise InitFailed(f"the layer {attached} has no content")
            found.append(environment.unpacked(archive, layers))
        return found

    def _places(self, name: str) -> Path:
        folder = self._folder / name
        folder.mkdir(exist_ok=True, mode=0o700)
        return folder


def _expect_ready(worker: Any, answer: Mapping[str, Any]) -> None:
    log = _log_until_marked(worker)
    if answer.get("status") == "ready":
        worker.log_of_init = log
        return
    process, worker._proc = worker._proc, None
    process.kill()
    process.wait()
    failure = answer.get("failure") or {
        "errorType": "Runtime.ExitError",
        "errorMessage": f"Runtime exited with error: exit status {process.returncode}",
    }
    _failure.set({**failure, "log": log})
    raise InitFailed(failure["errorMessage"])


def _listen_to_log(worker: Any) -> None:
    worker._stderr_queue = queue.Queue()
    worker._stderr_thread = threading.Thread(target=worker._read_stderr, daemon=True)
    worker._stderr_thread.start()


def _log_until_marked(worker: Any, **_waits: float) -> str:
    """Return what the function logged up to the mark that its runtime sets: nothing is lost, nobody waits."""
    lines, deadline = [], time.monotonic() + LAST_WORDS
    while (left := deadline - time.monotonic()) > 0:
        try:
            line = worker._stderr_queue.get(timeout=left)
        except queue.Empty:
            break
        if END_OF_LOG in line:
            if before := line.partition(END_OF_LOG)[0]:
                lines.append(before)
            break
        lines.append(line)
    return "\n".join(lines)


def _refuse(_original: object) -> Callable[..., dict[str, Any]]:
    """Take the place of executors that would run a function with this server's own environment."""

    def execute(func: Any, event: Any, request_id: str) -> dict[str, Any]:
        config = func.get("config") or func
        text = NO_RUNTIME.format(config.get("Runtime") or config.get("PackageType"))
        return {
            "body": {"errorType": "InvalidRuntimeException", "errorMessage": text},
            "error": True,
            "log": text,
        }

    return execute


def _note_failure(original: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Keep a handler's failure for the caller; the process itself is well and serves the next event."""

    def invoke(worker: Any, event: Any, request_id: str, **details: Any) -> dict[str, Any]:
        answer = original(worker, event, request_id, **details)
        if before := vars(worker).pop("log_of_init", ""):
            answer["log"] = "\n".join(filter(None, [before, answer.get("log", "")]))
        if "failure" in answer:
            _failure.set(answer["failure"])
        elif answer.get("status") == "error" and answer.get("error") == "Worker process died":
            text = f"RequestId: {request_id} Error: Runtime exited with error: the process ended"
            _failure.set({"errorType": "Runtime.ExitError", "errorMessage": text})
        return answer

    return invoke


def _explained(result: dict[str, Any], request_id: str) -> dict[str, Any]:
    failure = _failure.get()
    if failure is None:
        return result
    log = "\n".join(filter(None, [result.get("log", ""), failure.get("log", "")]))
    body = {"requestId": request_id, **{key: value for key, value in failure.items() if key != "log"}}
    return {"body": body, "error": True, "log": log}


def _reap() -> None:
    """End processes that nobody has called for a while, the last one of a function too."""
    workers, lock = use(RUNTIME, "_workers", checked=False), use(RUNTIME, "_lock", checked=False)
    kill = use(RUNTIME, "kill_workers", "workers")
    while True:
        time.sleep(IDLE_SECONDS / 10)
        idle = []
        with lock:
            for key, pool in list(workers.items()):
                idle += [each for each in pool if _is_idle(each)]
                workers[key] = [each for each in pool if not _is_idle(each)]
        kill(idle)


def _is_idle(worker: Any) -> bool:
    return not worker.in_use and time.time() - worker.last_used > IDLE_SECONDS
