"""A small WebUI which gives extensions the documented hooks.

`python webui.py --port PORT --data-dir FOLDER [--api] [--nowebui]` serves 127.0.0.1:PORT; the extensions are
the folders in FOLDER/extensions.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
sys.path.insert(0, str(Path(__file__).parent))

import gradio as gr
import uvicorn
from fastapi import FastAPI
from modules import paths, progress, script_callbacks, scripts, ui
from modules.api.api import Api


def head() -> str:
    """Return the style and the JavaScript of the WebUI and of its extensions."""
    folders = [Path(paths.script_path), *scripts.extension_folders()]
    styles = [each for folder in folders for each in folder.glob("style.css")]
    programs = [each for folder in folders for each in sorted((folder / "javascript").glob("*.js"))]
    found = [f'<link rel="stylesheet" href="{_path(each)}">' for each in styles]
    return "".join([*found, *(f'<script src="{_path(each)}"></script>' for each in programs)])


def _path(path: Path) -> str:
    return f"file={path}?{path.stat().st_mtime}"


def put_into_page(text: str) -> None:
    """Put text into the head of gradio's page: neither version offers it where both are served."""
    templates = gr.routes.templates
    original = templates.TemplateResponse

    def response(*arguments: Any, **named: Any) -> Any:
        page = original(*arguments, **named)
        page.body = page.body.replace(b"</head>", f"{text}</head>".encode())
        page.init_headers()
        return page

    templates.TemplateResponse = response


def logins() -> list[tuple[str, str]]:
    """Return who may log in: the lines `user:password` of the file, if one is named."""
    path = paths.arguments.gradio_auth_path
    lines = path.read_text(encoding="utf-8").split() if path else []
    return [(user, password) for user, _, password in (each.partition(":") for each in lines)]


def page() -> FastAPI:
    """Serve the page, and the API where asked for."""
    put_into_page(head())
    demo = ui.create_ui()
    several = {"concurrency_count": 64} if ui.IS_OLD else {}
    app, _, _ = demo.queue(**several).launch(
        server_name=paths.arguments.server_name,
        server_port=paths.arguments.port or None,
        auth=logins() or None,
        allowed_paths=[paths.script_path, paths.data_path],
        prevent_thread_lock=True,
        show_error=True,
        quiet=True,
    )
    progress.setup_progress_api(app)
    if paths.arguments.api:
        Api(app)
    script_callbacks.call("app_started", demo, app)
    return app


def api_only() -> None:
    """Serve the API alone."""
    app = FastAPI()
    ui.create_ui()
    Api(app)
    script_callbacks.call("app_started", None, app)
    uvicorn.run(app, host=paths.arguments.server_name, port=paths.arguments.port, log_level="warning")


def main() -> None:
    """Load the scripts and serve until killed."""
    scripts.load_scripts()
    script_callbacks.call("before_ui")
    if paths.arguments.nowebui:
        return api_only()
    page()
    print(f"Running on http://127.0.0.1:{paths.arguments.port}", flush=True)  # noqa: T201 - the test waits for it
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main()
