"""The runtime inside a function's process: it imports the handler and answers one event at a time.

It runs as a script under ``python -I -S`` with nothing but the standard library; lines of JSON come in on
standard input and go out on what was standard output. Whatever the function prints is its log.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import sys
import time
import traceback
from typing import Any, TextIO

END_OF_LOG = "\x1eend-of-log\x1e"


def main() -> None:
    """Serve until standard input ends."""
    requests, answers = _streams()
    setup = json.loads(requests.readline())
    sys.path[:0] = setup["path"]
    _log_as_lambda_does()
    handler, failure = _handler(setup["module"], setup["handler"])
    _tell(answers, {"status": "ready"} if handler else {"status": "error", "failure": failure})
    if handler is None:
        return
    for line in requests:
        message = json.loads(line)
        _tell(answers, _answer(handler, message["event"], Context(setup, message.get("ctx") or {})))


def _streams() -> tuple[TextIO, TextIO]:
    """Keep the protocol's ends to ourselves: a function's own children print into the log."""
    requests = os.fdopen(os.dup(0), "r", encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return requests, answers


def _tell(answers: TextIO, answer: dict[str, Any]) -> None:
    sys.stderr.write(f"{END_OF_LOG}\n")
    sys.stderr.flush()
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


class Context:
    """What AWS gives a handler as its second argument."""

    identity = None
    client_context = None

    def __init__(self, setup: dict[str, Any], call: dict[str, Any]) -> None:
        self.function_name = setup["function_name"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = setup["memory"]
        self.invoked_function_arn = call.get("invoked_function_arn") or setup["arn"]
        self.aws_request_id = call.get("request_id", "")
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self._deadline = time.monotonic() + setup["timeout"]
        for name, value in (
            ("_X_AMZN_TRACE_ID", call.get("trace_id")),
            ("_MINISTACK_INVOKE_DEPTH", call.get("depth")),
        ):
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = str(value)

    def get_remaining_time_in_millis(self) -> int:
        """Return how long the function may still run."""
        return max(0, int((self._deadline - time.monotonic()) * 1000))


def _handler(module: str, name: str) -> tuple[Any, dict[str, Any]]:
    try:
        target: Any = importlib.import_module(module)
    except ImportError as error:
        traceback.print_exc()
        return None, _failure("Runtime.ImportModuleError", f"Unable to import module '{module}': {error}")
    except SyntaxError as error:
        traceback.print_exc()
        return None, _failure("Runtime.UserCodeSyntaxError", f"Syntax error in module '{module}': {error}")
    except Exception as error:
        traceback.print_exc()
        return None, _failure(type(error).__name__, str(error))
    if not hasattr(target, name):
        return None, _failure("Runtime.HandlerNotFound", f"Handler '{name}' missing on module '{module}'")
    return getattr(target, name), {}


def _answer(handler: Any, event: Any, context: Context) -> dict[str, Any]:
    try:
        result = handler(event, context)
    except Exception as error:
        trace = traceback.format_exc()
        sys.stderr.write(f"[ERROR] {type(error).__name__}: {error}\n{trace}")
        frames = traceback.format_tb(error.__traceback__)[1:]
        return {
            "status": "ok",
            "failure": {**_failure(type(error).__name__, str(error)), "stackTrace": frames},
        }
    try:
        json.dumps(result)
    except (TypeError, ValueError) as error:
        text = f"Unable to marshal response: {error}"
        return {"status": "ok", "failure": _failure("Runtime.MarshalError", text)}
    return {"status": "ok", "result": result}


def _failure(kind: str, text: str) -> dict[str, Any]:
    return {"errorMessage": text, "errorType": kind}


def _log_as_lambda_does() -> None:
    as_json = os.environ.get("AWS_LAMBDA_LOG_FORMAT") == "JSON"
    handler = logging.StreamHandler(sys.stderr)
    text = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(message)s"
    handler.setFormatter(Structured() if as_json else logging.Formatter(text, "%Y-%m-%dT%H:%M:%S"))
    logging.Formatter.converter = time.gmtime
    logging.getLogger().addHandler(handler)
    if level := os.environ.get("AWS_LAMBDA_LOG_LEVEL"):
        logging.getLogger().setLevel(level if level != "TRACE" else "DEBUG")


class Structured(logging.Formatter):
    """Log records as Lambda writes them when a function's LogFormat is JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line of JSON."""
        line = {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
        }
        if record.exc_info:
            line["stackTrace"] = self.formatException(record.exc_info)
        return json.dumps(line)


if __name__ == "__main__":
    main()
