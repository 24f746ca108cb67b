"""Every failure as one line that says what, where, and what to do; and the exit code that goes with it.

0  done
1  it failed, or the answer was no
2  the command was used wrongly
3  nothing to talk to: the local cloud is not running, or a person's decision is awaited
130  interrupted
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import click

UNREACHABLE = {
    "EndpointConnectionError",
    "ConnectionClosedError",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "ProxyConnectionError",
}
CREDENTIALS = {
    "NoCredentialsError",
    "PartialCredentialsError",
    "TokenRetrievalError",
    "UnauthorizedSSOTokenError",
}


class Ended(click.ClickException):
    """The end of a command that did not succeed."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class Pending(Ended):
    """Nothing to talk to yet, or a person's decision is awaited."""

    exit_code = 3


class Interrupted(Ended):
    """Ctrl-C."""

    exit_code = 130


class Taught(click.Command):
    """What `--help` ends with: lines to copy."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **more: Any) -> None:
        super().__init__(*args, **more)
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        super().format_epilog(ctx, formatter)
        if self.examples:
            with formatter.section("Examples" if len(self.examples) > 1 else "Example"):
                for each in self.examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{each}\n")


class Group(Taught, click.Group):
    """A noun with its verbs."""


class Command(Taught):
    """A command that never shows a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; turn what it raises into words."""
        with explained():
            return super().invoke(ctx)


@contextlib.contextmanager
def explained(after_interrupt: str = "") -> Iterator[None]:
    """Turn every exception into an error that click shows as one line."""
    try:
        yield
    except (click.ClickException, click.exceptions.Exit):
        raise
    except (KeyboardInterrupt, click.Abort):  # click's prompts make the one of the other
        raise Interrupted(after_interrupt or "interrupted; nothing was undone") from None
    except BrokenPipeError:
        # whoever read us has gone: the rest is of no use, and Python must not complain when it flushes
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise click.exceptions.Exit(0) from None
    except Exception as error:
        if os.environ.get("ATELIER_DEBUG"):
            raise
        raise translate(error) from error


def translate(error: Exception) -> Ended:
    """Return what to say about *error*."""
    # imported late: `atelier --help` needs none of these
    from botocore.exceptions import BotoCoreError, ClientError

    from atelier.bundle import BundleError
    from atelier.client.errors import Problem
    from atelier.cloud.context import Refused
    from atelier.cloud.gateway.launch import NotRunning
    from atelier.merging.errors import MergeError

    if isinstance(error, NotRunning):
        return Pending(str(error))
    if isinstance(error, Problem | Refused | BundleError | MergeError):
        return Ended(str(error))
    if isinstance(error, ClientError):
        return Ended(_client_error(error))
    if isinstance(error, BotoCoreError):
        return _connection_error(error)
    if isinstance(error, OSError) and error.filename:
        return Ended(f"{error.filename}: {error.strerror}")
    kind = type(error).__name__
    return Ended(f"a fault of Atelier itself, {kind}: {error} (ATELIER_DEBUG=1 shows where)")


def _client_error(error: Any) -> str:
    details = error.response.get("Error", {})
    code, message = details.get("Code", "Unknown"), details.get("Message", "no message")
    return f"{error.operation_name} was refused: {message} ({code})"


def _connection_error(error: Exception) -> Ended:
    kind = type(error).__name__
    if kind in UNREACHABLE:
        return Pending(f"{error} Is the local cloud up? See `atelier status`")
    if kind in CREDENTIALS:
        return Ended(f"{error}. Sign in to AWS first (`aws configure`, `aws sso login` or AWS_PROFILE)")
    return Ended(str(error))
