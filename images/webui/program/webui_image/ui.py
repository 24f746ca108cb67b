"""The WebUI for people."""

import os
import sys

from webui_image import child
from webui_image.settings import Failure, Settings


def run(settings: Settings) -> int:
    """Run the WebUI until it ends, or is asked to."""
    login = _login(settings)
    if not os.access(settings.data, os.W_OK):
        raise Failure(f"{settings.data} is not this user's to write: chown it to {os.getuid()}:{os.getgid()}")
    where = ["--server-name", settings.host, "--port", str(settings.port)]
    return child.run(settings, *where, *login)


def _login(settings: Settings) -> list[str]:
    """Name the file with the passwords; without one, only this machine may reach the WebUI."""
    if settings.login is None:
        if not settings.is_private:
            raise Failure(
                f"BIND_HOST={settings.host} lets others in: name a file with lines `user:password` in"
                " WEBUI_AUTH_FILE, or set BIND_HOST=127.0.0.1"
            )
        sys.stderr.write("no WEBUI_AUTH_FILE: whoever reaches this machine's own address is let in\n")
        return []
    try:
        lines = settings.login.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"WEBUI_AUTH_FILE: {settings.login} cannot be read by this user: {error}") from error
    if not lines or not all(_is_login(each) for each in lines):
        raise Failure(f"WEBUI_AUTH_FILE: {settings.login} must hold lines `user:password`, without commas")
    return ["--gradio-auth-path", str(settings.login)]


def _is_login(line: str) -> bool:
    user, _, password = line.partition(":")
    return bool(user and password) and "," not in line
