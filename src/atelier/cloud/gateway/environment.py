"""What the server process is given of the environment of whoever starts it: an allow-list, nothing more."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path

from atelier.cloud.gateway.settings import ACCOUNT, HOST, REGION, Home

# What a server may know of whoever starts it. The package index and the proxy are for image builds and the
# dependency layer; functions, builds and containers get none of it.
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
PASSED_ON = (
    *("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ"),
    *PROXIES,
    *(name.lower() for name in PROXIES),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_CERT", "PIP_CONSTRAINT"),
    *("DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"),
    *("PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT", "PIP_CONFIG_FILE"),
)


def default_cache() -> Path:
    """Return the folder that homes share: ``$ATELIER_CACHE`` or the user's own cache."""
    if given := os.environ.get("ATELIER_CACHE"):
        return Path(given).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "atelier"


def of_server(places: Home, port: int, log_level: str, engine: str = "auto") -> dict[str, str]:
    """Return the whole environment of the server process."""
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    for name in ("NO_PROXY", "no_proxy"):
        passed[name] = ",".join(filter(None, [passed.get(name), HOST, "localhost"]))
    return {
        "LANG": "C.UTF-8",
        "PATH": os.defpath,
        **passed,
        **_pip_settings(),
        **_ministack(places, port, log_level),
        "HOME": str(places.user),
        "TMPDIR": str(places.temporary),
        "PYTHONUTF8": "1",
        "PYTHONUNBUFFERED": "1",
        "ATELIER_HOME": str(places.root),
        "ATELIER_ENGINE": engine,
        "ATELIER_DOCKER_HOST": docker_host(),
        "ATELIER_CACHE": str(default_cache()),
        "PIP_CACHE_DIR": os.environ.get("PIP_CACHE_DIR") or str(default_cache() / "pip"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


def docker_host() -> str:
    """Return where the user's Docker is: ``$DOCKER_HOST``, the current context, or the usual socket."""
    if given := os.environ.get("DOCKER_HOST"):
        return given
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        chosen = (
            os.environ.get("DOCKER_CONTEXT")
            or json.loads((folder / "config.json").read_bytes())["currentContext"]
        )
        named = hashlib.sha256(chosen.encode()).hexdigest()
        described = json.loads((folder / "contexts" / "meta" / named / "meta.json").read_bytes())
        return str(described["Endpoints"]["docker"]["Host"])
    return "unix:///var/run/docker.sock"


def _pip_settings() -> dict[str, str]:
    """Name the user's own pip configuration, which the server's HOME hides: it may hold the only index."""
    folders = (
        Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "pip",
        Path.home() / ".pip",
    )
    found = next((each / "pip.conf" for each in folders if (each / "pip.conf").is_file()), None)
    return {"PIP_CONFIG_FILE": str(found)} if found and "PIP_CONFIG_FILE" not in os.environ else {}


def _ministack(places: Home, port: int, log_level: str) -> dict[str, str]:
    return {
        "AUTH": "true",
        "BIND_HOST": HOST,
        "MINISTACK_HOST": HOST,
        "GATEWAY_PORT": str(port),
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "MINISTACK_REGION": REGION,
        "PERSIST_STATE": "1",
        "STATE_DIR": str(places.state / "ministack"),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(places.state / "s3"),
        "LOG_LEVEL": log_level,
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "DOCKER_HOST": f"unix://{places.root / 'no-docker.sock'}",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_DEFAULT_REGION": REGION,
    }
