"""What a function's process is given: an interpreter, code, layers and variables; nothing of ours."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import shutil
import sys
import uuid
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

# The packages of AWS's own Python runtime, and what they need.
RUNTIME = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six", "urllib3")


def interpreter() -> list[str]:
    """Return the command that starts Python with no site-packages and no regard for the environment."""
    return [getattr(sys, "_base_executable", None) or sys.executable, "-I", "-S"]


def runtime(folder: Path) -> Path:
    """Return *folder*, holding links to the runtime's packages and to nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    for name in RUNTIME:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(f"{name}, which functions get from their runtime, is not installed")
        origin = Path(spec.origin)
        source = origin.parent if origin.name == "__init__.py" else origin
        (folder / source.name).symlink_to(source)
    return folder


def unpacked(archive: bytes, folder: Path) -> Path:
    """Return the folder with the content of a layer, unpacked once for all functions that use it."""
    place = folder / hashlib.sha256(archive).hexdigest()
    if not place.is_dir():
        temporary = folder / f"{place.name}.{uuid.uuid4().hex}"  # two functions may begin at one time
        unpack(archive, temporary)
        try:
            temporary.rename(place)
        except OSError:  # another thread was first
            shutil.rmtree(temporary, ignore_errors=True)
    return place


def unpack(archive: bytes, folder: Path) -> None:
    """Unpack a zip with the permission bits in it; refuse entries that would leave *folder*."""
    folder.mkdir(parents=True, mode=0o700)
    root = folder.resolve()
    with zipfile.ZipFile(io.BytesIO(archive)) as entries:
        for entry in entries.infolist():
            if not (root / entry.filename).resolve().is_relative_to(root):
                raise ValueError(f"{entry.filename} in the zip points outside of it")
            path = Path(entries.extract(entry, root))
            if (mode := entry.external_attr >> 16 & 0o777) and path.is_file():
                path.chmod(mode | 0o400)


def search_path(code: Path, layers: Iterable[Path], boto: Path) -> list[str]:
    """Return where imports look: the code, the layers (a later one first), the runtime's packages."""
    found = [code]
    for layer in reversed(list(layers)):
        found += sorted((layer / "python" / "lib").glob("python3.*/site-packages"))
        found.append(layer / "python")
    return [str(each) for each in [*found, boto]]


def variables(
    own: Mapping[str, str],
    config: Mapping[str, object],
    credentials: Mapping[str, str],
    cloud: Mapping[str, str],
) -> dict[str, str]:
    """Return a function's whole environment: AWS's variables, its own settings, its role's credentials."""
    name = str(config.get("FunctionName", ""))
    logging = config.get("LoggingConfig")
    asked: dict[str, str] = logging if isinstance(logging, dict) else {}
    group, as_json = asked.get("LogGroup"), asked.get("LogFormat") == "JSON"
    return {
        **{"LANG": "C.UTF-8", "TZ": "UTC", "PATH": "/usr/local/bin:/usr/bin:/bin"},
        **cloud,
        **own,
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(config.get("MemorySize", 128)),
        "AWS_LAMBDA_FUNCTION_VERSION": str(config.get("Version", "$LATEST")),
        "AWS_LAMBDA_LOG_GROUP_NAME": str(group or f"/aws/lambda/{name}"),
        **({"AWS_LAMBDA_LOG_FORMAT": "JSON"} if as_json else {}),
        **({"AWS_LAMBDA_LOG_LEVEL": asked.get("ApplicationLogLevel", "INFO")} if as_json else {}),
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{config.get('Runtime')}",
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "_HANDLER": str(config.get("Handler", "")),
        **credentials,
    }
