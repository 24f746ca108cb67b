"""The WebUI's own API, on this container's loopback."""

import json
import urllib.error
import urllib.request
from typing import Any

from diffusion.errors import Invalid, Unreachable

#: Whoever waits for pictures waits as long as they take; all else is answered at once.
QUICK_SECONDS = 30.0
LONGEST_REASON = 1000


class WebUI:
    """The WebUI that this container runs, asked over HTTP."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/sdapi/v1/"
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def scripts(self) -> set[str]:
        """Name the scripts that both tabs have."""
        told = self._ask("scripts", None, QUICK_SECONDS)
        return set(told["txt2img"]) & set(told["img2img"])

    def refresh_checkpoints(self) -> None:
        """Have it look again for checkpoints."""
        self._ask("refresh-checkpoints", {}, QUICK_SECONDS)

    def interrupt(self) -> None:
        """Have it give up what it paints."""
        self._ask("interrupt", {}, QUICK_SECONDS)

    def paint(self, task_type: str, form: dict[str, Any]) -> dict[str, Any]:
        """Have a form painted."""
        answer: dict[str, Any] = self._ask(task_type, form, None)
        return answer

    def _ask(self, route: str, document: object | None, seconds: float | None) -> Any:
        body = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(
            self._url + route, data=body, headers={"Content-Type": "application/json"}
        )
        try:
            with self._opener.open(request, timeout=seconds) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            with error:
                told = _reason(error.read())
            kind = Invalid if error.code < 500 else Unreachable
            raise kind(f"the WebUI refuses {route} with {error.code}: {told}") from error
        except (OSError, ValueError) as error:
            raise Unreachable(f"the WebUI does not answer {route}: {error}") from error


def _reason(body: bytes) -> str:
    """Return what the WebUI says of an error: FastAPI's detail, or its own two fields."""
    try:
        told = json.loads(body)
        found = told.get("errors") or told.get("detail") or told
        kind = f"{told['error']}: " if told.get("error") else ""
    except (ValueError, AttributeError):
        kind, found = "", body.decode(errors="replace")
    text = found if isinstance(found, str) else json.dumps(found)
    return (kind + text)[:LONGEST_REASON]
