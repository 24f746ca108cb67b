"""A Docker engine for a Debian machine that has none, and a base image where no registry is reached.

`eval "$(python3 .ci/engine.py up)"` installs what is missing, starts the engine and exports DOCKER_HOST;
`python3 .ci/engine.py down` stops it and removes its folder. Both may be repeated. Needs root.
The engine leaves the machine's network alone (no bridge, no firewall rules): containers use the host's.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import packages

NEEDED = {"dockerd": "docker.io", "docker-registry": "docker-registry", "mmdebstrap": "mmdebstrap"}
TAGS = ("public.ecr.aws/docker/library/python:3.11-slim-bookworm", "python:3.11-slim-bookworm")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
PACKAGES = (
    "base-files,base-passwd,bash,coreutils,dash,debianutils,diffutils,findutils,grep,gzip,hostname,libc-bin,"
    "libgomp1,libstdc++6,mawk,netbase,python3,python3-distutils,python3-pip,python3-venv,sed,tar,tzdata"
)
SOURCES = (
    "deb http://deb.debian.org/debian bookworm main",
    "deb http://deb.debian.org/debian bookworm-updates main",
    "deb http://deb.debian.org/debian-security bookworm-security main",
)
UNUSED = (
    "usr/share/{doc,man,locale,i18n,info,lintian,perl,perl5} usr/lib/x86_64-linux-gnu/gconv "
    "usr/lib/python3.11/EXTERNALLY-MANAGED var/lib/apt var/cache/apt"
)
MERGED = 'for d in bin sbin lib lib64; do mkdir -p "$1/usr/$d" && ln -s "usr/$d" "$1/$d"; done'
# What the packages' own scripts would do: none of them runs, so nothing of apt or dpkg is left to configure.
SETTLED = f"""set -e; cd "$1"; mkdir -p etc/ssl/certs tmp root; chmod 1777 tmp
cp usr/share/base-passwd/passwd.master etc/passwd; cp usr/share/base-passwd/group.master etc/group
cp {CERTIFICATES} etc/ssl/certs/
ln -sf dash usr/bin/sh; ln -sf python3 usr/bin/python; ln -sf mawk usr/bin/awk
/sbin/ldconfig -r .; bash -c "rm -rf {UNUSED}\""""


def up(folder: Path) -> None:
    """Bring the engine and its base image up; print what a shell evaluates to use it."""
    _install()
    folder.mkdir(parents=True, exist_ok=True, mode=0o755)
    os.environ["DOCKER_HOST"] = f"unix://{folder}/d.sock"
    _start_engine(folder)
    _import(_tar(), {"PIP_CERT": str(CERTIFICATES), **packages.settings(_serve(folder))})
    sys.stdout.write(f"export DOCKER_HOST={os.environ['DOCKER_HOST']}\n")


def down(folder: Path) -> None:
    """Stop what `up` started there, and remove it."""
    for name in ("packages.pid", "d.pid"):
        pid = _alive(folder / name, folder)
        if pid:
            os.kill(pid, signal.SIGTERM)
            _until(f"process {pid} ends", partial(_has_ended, pid))
    mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for each in sorted((each for each in mounted if each.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", each], check=True)
    shutil.rmtree(folder, ignore_errors=True)


def _install() -> None:
    missing = [package for command, package in NEEDED.items() if not shutil.which(command)]
    if not CERTIFICATES.exists():
        missing.append("ca-certificates")
    if not missing:
        return
    if not shutil.which("apt-get") or os.geteuid():
        sys.exit(f"{', '.join(missing)}: missing; this script installs them as root on Debian 12")
    apt = ["apt-get", "-o", "DPkg::Lock::Timeout=300", "-qq"]
    noninteractive = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    _run([*apt, "update"], noninteractive)
    _run([*apt, "install", "-y", "--no-install-recommends", *missing], noninteractive)


def _start_engine(folder: Path) -> None:
    if _alive(folder / "d.pid", folder):
        return
    (folder / "d.pid").unlink(missing_ok=True)
    command = ["dockerd", "--data-root", f"{folder}/data", "--exec-root", f"{folder}/run"]
    command += ["-H", f"unix://{folder}/d.sock", "-p", f"{folder}/d.pid"]
    command += ["--iptables=false", "--ip6tables=false", "--bridge=none"]
    started = _background(command, folder / "dockerd.log")

    def is_ready() -> bool:
        if started.poll() is not None:
            sys.exit(f"dockerd ended with {started.returncode}; {folder}/dockerd.log says why")
        return not subprocess.run(["docker", "info"], capture_output=True, check=False).returncode

    _until(f"dockerd answers; {folder}/dockerd.log", is_ready)


def _tar() -> Path:
    """Return the base image's file tree, made of Debian's packages unless that was done before."""
    recipe = "\n".join([PACKAGES, *SOURCES, MERGED, SETTLED]).encode()
    key = hashlib.sha256(recipe + CERTIFICATES.read_bytes()).hexdigest()[:16]
    cache = Path(os.environ.get("ATELIER_CACHE") or Path.home() / ".cache" / "atelier") / "base"
    found = cache / f"{key}.tar"
    if not found.exists():
        cache.mkdir(parents=True, exist_ok=True)
        making = cache / f"{key}.{os.getpid()}.tar"
        command = ["mmdebstrap", "--quiet", "--mode=root", "--variant=extract", "--format=tar"]
        command += [f"--include={PACKAGES}", "--aptopt=Acquire::Languages none"]
        command += [f"--setup-hook={MERGED}", f"--extract-hook={SETTLED}", "bookworm", str(making), *SOURCES]
        try:
            _run(command)
            making.rename(found)
        finally:
            making.unlink(missing_ok=True)
    return found


def _import(tar: Path, settings: dict[str, str]) -> None:
    made_of = hashlib.sha256(json.dumps([tar.name, settings]).encode()).hexdigest()[:16]
    form = '{{index .Config.Labels "atelier.base"}}'
    asked = ["docker", "image", "inspect", "--format", form, *TAGS]
    answer = subprocess.run(asked, capture_output=True, text=True, check=False)
    if answer.stdout.split() == [made_of] * len(TAGS):
        return
    variables = {"PATH": "/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin", "LANG": "C.UTF-8"}
    changes = [f"ENV {name}={json.dumps(value)}" for name, value in {**variables, **settings}.items()]
    changes += ['CMD ["python3"]', f"LABEL atelier.base={made_of}"]
    first, *others = TAGS
    _run(["docker", "import", *(f"--change={each}" for each in changes), str(tar), first])
    for each in others:
        _run(["docker", "tag", first, each])


def _serve(folder: Path) -> list[str]:
    """Show this machine's own package folders to builds, on loopback; return the URL of each."""
    shown = packages.local()
    if not shown:
        return []
    state, log = folder / "packages.json", folder / "packages.log"
    kept = json.loads(state.read_text()) if state.exists() else {"port": 0}
    if kept.get("shown") != shown or not _alive(folder / "packages.pid", folder):
        state.unlink(missing_ok=True)
        # The port that it had, if it is free: another one would be another base image, and no layer's base.
        command = [sys.executable, packages.__file__, str(state), str(kept["port"]), *shown]
        (folder / "packages.pid").write_text(str(_background(command, log).pid))
        _until(f"the server of packages tells its port; {log}", state.exists)
    port = json.loads(state.read_text())["port"]
    return [f"http://127.0.0.1:{port}{each}" for each in shown]


def _background(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as target:
        null = subprocess.DEVNULL
        return subprocess.Popen(command, stdin=null, stdout=target, stderr=target, start_new_session=True)


def _alive(pid_file: Path, folder: Path) -> int | None:
    """Return the process that *pid_file* names, if it is still the one that was started for *folder*."""
    try:
        pid = int(pid_file.read_text())
        arguments = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except (OSError, ValueError):
        return None
    return pid if any(each.startswith(f"{folder}/") for each in arguments) else None


def _has_ended(pid: int) -> bool:
    """Say whether a process is over: it may stay a zombie where nobody waits for orphans."""
    try:
        return not Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True


def _until(what: str, is_so: Callable[[], bool]) -> None:
    for _ in range(600):
        if is_so():
            return
        time.sleep(0.1)
    sys.exit(f"waited a minute in vain until {what}")


def _run(command: list[str], environment: dict[str, str] | None = None) -> None:
    """Run *command*; what it prints goes to stderr, for stdout is evaluated."""
    subprocess.run(command, check=True, stdout=sys.stderr, env=environment)


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verb", choices=["up", "down"])
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp/atelier-engine"))
    given = parser.parse_args()
    {"up": up, "down": down}[given.verb](given.folder.absolute())


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(f"{error.cmd[0]} ended with {error.returncode}")
