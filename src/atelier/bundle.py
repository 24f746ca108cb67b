"""What functions run: their own code as one zip, their dependencies as one layer, both named by content.

Both hold bytecode beside the sources, because a function that starts cannot keep what it compiles: to compile
Powertools and our own modules would take it longer than to import them. It is of the Python that bundles;
another one, or one with other bytecode, passes it over and compiles the sources.
"""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

HERE = Path(__file__).parent
PARTS = ("contract", "lambdas")
LOCK = HERE / "lambdas" / "requirements.lock"
COMPILED = frozenset({".so", ".pyd", ".dylib"})

# Where pip writes down how it installed: no function reads it, and it would change the layer's name.
TRACES = frozenset({"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"})


class BundleError(Exception):
    """The functions or their dependencies cannot be put together; the text says why."""


def zipped(files: Mapping[str, bytes], folder: str) -> tuple[str, bytes]:
    """Zip *files* reproducibly; return the key that names the content, and the bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o100644 << 16  # Lambda runs as another user
            archive.writestr(entry, files[name], zipfile.ZIP_DEFLATED)
    body = buffer.getvalue()
    return f"{folder}/{hashlib.sha256(body).hexdigest()[:16]}.zip", body


def functions(source: Path = HERE) -> tuple[str, bytes]:
    """Bundle the functions' code: all of `contract` and `lambdas`, shared by every function."""
    paths = [
        source / "__init__.py",
        *(each for part in PARTS for each in sorted((source / part).rglob("*.py"))),
    ]
    files = {f"atelier/{each.relative_to(source)}": each.read_bytes() for each in paths}
    return zipped(files | bytecode(files), "lambdas")


def bytecode(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Compile modules, in a process of its own so that the same sources give the same bytes.

    Nobody compares it with the sources again: they lie in one archive. What does not compile has none.
    """
    with tempfile.TemporaryDirectory(prefix="atelier-bytecode-") as folder:
        for name, body in files.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
        options = ["-q", "-q", "-s", folder, "--invalidation-mode", "unchecked-hash"]
        subprocess.run([sys.executable, "-I", "-m", "compileall", *options, folder], check=False)
        return {str(each.relative_to(folder)): each.read_bytes() for each in Path(folder).rglob("*.pyc")}


def layer(lock: Path = LOCK, cache: Path | None = None) -> tuple[str, bytes]:
    """Bundle the dependencies that *lock* names; what was built from it before is in the cache."""
    place = (cache or cache_folder()) / "layers"
    kept = place / f"{hashlib.sha256(lock.read_bytes()).hexdigest()}-{sys.implementation.cache_tag}.zip"
    if kept.exists():
        body = kept.read_bytes()
        return f"layers/{hashlib.sha256(body).hexdigest()[:16]}.zip", body
    files = {f"python/{name}": content for name, content in installed(lock)}
    key, body = zipped(files | bytecode(files), "layers")
    place.mkdir(parents=True, exist_ok=True)
    _write(kept, body)
    return key, body


def cache_folder() -> Path:
    """Return where what can be made again is kept between runs."""
    if chosen := os.environ.get("ATELIER_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "atelier"


def installed(lock: Path) -> Iterator[tuple[str, bytes]]:
    """Install *lock* aside and yield its files; refuse compiled code, which would fit one platform only."""
    with tempfile.TemporaryDirectory(prefix="atelier-layer-") as folder:
        _install(lock, folder)
        for path in sorted(Path(folder).rglob("*")):
            name = path.relative_to(folder)
            if path.is_dir() or "__pycache__" in name.parts or name.parts[0] == "bin" or path.name in TRACES:
                continue
            if path.suffix in COMPILED:
                raise BundleError(f"{name} is compiled code: the layer must fit every platform")
            yield str(name), path.read_bytes()


def _install(lock: Path, folder: str) -> None:
    # of a package with compiled parts, the variant that fits every platform
    options = ["--require-hashes", "--no-deps", "--no-compile", "--only-binary=:all:", "--platform=any"]
    quiet = ["--quiet", "--no-input", "--disable-pip-version-check", "--no-warn-conflicts"]
    command = [sys.executable, "-m", "pip", "install", *options, *quiet, "--target", folder, "-r", str(lock)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr or done.stdout).strip()
        raise BundleError(f"pip could not install {lock.name}: {reason}")


def _write(path: Path, body: bytes) -> None:
    """Write aside and rename: another process may read the cache."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as aside:
        aside.write(body)
    Path(aside.name).replace(path)
