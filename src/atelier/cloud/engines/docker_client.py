"""The `docker` command of builds where Docker runs containers: the real client, told which engine.

A build's commands find it first on their PATH. What a buildspec says stays what it says on AWS: only where
the engine has no bridge is a `docker build` given the host's network, without which no command in it
reaches a package index. On AWS a build's containers end with its machine: here they carry the cloud's label,
by which it finds and removes what a build has left.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path

PASSED = ("DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")
"""What names the engine; a build's own environment holds none of these."""

SCRIPT = """\
#!/bin/sh
# The real docker client, for the engine that this local cloud uses; its logins end with the build.
export {engine}
export DOCKER_CONFIG="${{DOCKER_CONFIG:-$HOME/.docker}}"
if [ ! -e "$DOCKER_CONFIG/config.json" ]; then
    mkdir -p -m 700 "$DOCKER_CONFIG" && printf '%s\\n' {config} >"$DOCKER_CONFIG/config.json"
fi
{network}case "$1 $2" in
    "run "* | "create "*) verb=$1; shift; set -- "$verb" --label {label} "$@" ;;
    "container run" | "container create") verb=$2; shift 2; set -- container "$verb" --label {label} "$@" ;;
esac
exec {client} "$@"
"""

HOST_NETWORK = """\
case "$1 $2" in
    "build "*) shift; set -- build --network host "$@" ;;
    "image build" | "builder build" | "buildx build")
        group=$1; shift 2; set -- "$group" build --network host "$@" ;;
esac
"""

MISSING = """\
#!/bin/sh
echo "docker: the engine answers, but there is no docker client on this machine: install one" \\
    "(docker-ce-cli or docker.io) and start the local cloud again" >&2
exit 127
"""


def install(folder: Path, environment: Mapping[str, str], *, label: str, has_bridge: bool) -> Path:
    """Write the command into *folder*, for the engine that *environment* names; return the folder.

    The containers that it starts carry the *label* (``name=value``).
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    aside = folder / f".docker.{os.getpid()}"
    aside.write_text(_script(folder, environment, label, has_bridge), encoding="utf-8")
    aside.chmod(0o700)
    aside.replace(folder / "docker")
    return folder


def _script(folder: Path, environment: Mapping[str, str], label: str, has_bridge: bool) -> str:
    elsewhere = [
        each for each in environment.get("PATH", os.defpath).split(os.pathsep) if Path(each) != folder
    ]
    client = shutil.which("docker", path=os.pathsep.join(elsewhere))
    if client is None:
        return MISSING
    host = {"DOCKER_HOST": "unix:///var/run/docker.sock"}
    engine = {**host, **{name: environment[name] for name in PASSED if environment.get(name)}}
    plugins = Path(environment.get("HOME", "/nonexistent"), ".docker", "cli-plugins")
    return SCRIPT.format(
        engine=" ".join(f"{name}={shlex.quote(value)}" for name, value in engine.items()),
        config=shlex.quote(json.dumps({"cliPluginsExtraDirs": [str(plugins)]} if plugins.is_dir() else {})),
        network="" if has_bridge else HOST_NETWORK,
        label=shlex.quote(label),
        client=shlex.quote(client),
    )
