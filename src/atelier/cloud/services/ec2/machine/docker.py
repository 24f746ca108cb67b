"""A machine's `docker`: the real client, speaking to the engine that runs the machine itself.

On EC2 an instance has an engine of its own. Here the engine is shared, so this gives each machine its own
containers (a label, names of its own), its own volumes (on the machine's disk) and its address (the network
is the machine's). A published port becomes BIND_HOST and PORT of the container. Standard library only.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

CLIENT = "/opt/machine/docker"
MINE = "atelier.machine"
DISK = "atelier.disk"

WHOLE = {"login", "logout", "pull", "images", "info", "version"}
"""Commands of the engine that change nothing of anyone's containers."""

NAMING = {
    "start",
    "stop",
    "restart",
    "kill",
    "rm",
    "logs",
    "inspect",
    "exec",
    "cp",
    "wait",
    "stats",
    "top",
    "port",
}
"""Commands whose arguments name containers."""

FLAGS = {"-d", "--detach", "-i", "--interactive", "-t", "--tty", "-it", "--rm", "--init", "--read-only"}
"""Options of run and create that take no value."""

CHANGED = {"--name", "--volume", "-v", "--publish", "-p", "--network", "--net"}
"""Options of run and create that are changed on the way."""


class Unsupported(Exception):
    """What a machine's docker does not do here."""


def main(arguments: list[str]) -> int:
    """Run one command."""
    try:
        command = translated(arguments, os.environ["MACHINE_NAME"], os.environ["MACHINE_LABEL"], _ask)
    except Unsupported as error:
        sys.stderr.write(f"docker: {error}\n")
        return 125
    return subprocess.run([CLIENT, *command], check=False).returncode


Ask = Callable[[list[str]], str]


def translated(arguments: list[str], machine: str, label: str, ask: Ask) -> list[str]:
    """Return what the real client is told; raise Unsupported for what it must not be told."""
    verb, rest = (arguments[0] if arguments else "version"), arguments[1:]
    if verb in WHOLE:
        return [verb, *rest]
    if verb == "ps":
        return ["ps", "--filter", f"label={MINE}={machine}", *rest]
    if verb in NAMING:
        return [verb, *_named(rest, machine, ask)]
    if verb in ("run", "create"):
        return [
            verb,
            "--label",
            f"{MINE}={machine}",
            "--label",
            label,
            "--network",
            "host",
            *_made(rest, machine, label, ask),
        ]
    raise Unsupported(f"`docker {verb}` is not part of the local cloud's machines")


def _named(rest: list[str], machine: str, ask: Ask) -> Iterator[str]:
    """Replace the names of this machine's containers by those that the engine knows them by."""
    mine, names = f".{machine}", ask(["ps", "-a", "--format", "{{.Names}}"]).split()
    own = {each.removesuffix(mine): each for each in names if each.endswith(mine)}
    for each in rest:
        name, colon, path = each.partition(":")
        if name in names and name not in own:
            raise Unsupported(f"No such container: {name}")
        yield f"{own[name]}{colon}{path}" if name in own else each


def _made(rest: list[str], machine: str, label: str, ask: Ask) -> Iterator[str]:
    """Yield the options of a container to make, its image, and what that is given."""
    left = iter(rest)
    for each in left:
        option, equals, value = each.partition("=")
        if not each.startswith("-"):
            yield each
            yield from left
        elif option in CHANGED:
            yield from _option(option, value if equals else next(left, ""), machine, label, ask)
        else:
            yield each
            if not equals and option not in FLAGS:
                yield next(left, "")


def _option(option: str, value: str, machine: str, label: str, ask: Ask) -> Iterator[str]:
    if option == "--name":
        yield f"--name={value}.{machine}"
    elif option in ("--volume", "-v"):
        yield f"--volume={_volume(value, label, ask)}"
    elif option in ("--publish", "-p"):
        address, port = _published(value)
        yield from ("--env", f"BIND_HOST={address}", "--env", f"PORT={port}")
    else:
        raise Unsupported(f"{option} {value}: containers here share their machine's network")


def _volume(value: str, label: str, ask: Ask) -> str:
    name, _, place = value.partition(":")
    if name.startswith(("/", ".")):
        raise Unsupported(
            f"-v {value}: no folder of a machine can be shared here; use a volume, or `docker cp`"
        )
    disk = os.environ.get("MACHINE_DISK", "")
    if not disk:
        raise Unsupported(f"-v {value}: this machine has no disk for volumes")
    ask(["volume", "create", "--label", label, "--label", f"{DISK}={disk}", f"{disk}.{name}"])
    return f"{disk}.{name}:{place}"


def _published(value: str) -> tuple[str, str]:
    parts = value.split(":")
    if len(parts) != 3 or not parts[1].isdecimal():
        raise Unsupported(f"-p {value}: say on which address and port, as ADDRESS:PORT:PORT")
    return parts[0], parts[1]


def _ask(arguments: list[str]) -> str:
    answer = subprocess.run([CLIENT, *arguments], capture_output=True, text=True, check=False)
    if answer.returncode:
        raise Unsupported(answer.stderr.strip())
    return answer.stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
