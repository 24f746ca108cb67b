"""`/sdapi/v1`: what a form says, as JSON."""

from __future__ import annotations

import base64
import io
from contextlib import closing
from typing import Any

import gradio as gr
from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from modules import call_queue, errors, processing, progress, scripts, shared
from modules.shared import opts


class Refused(Exception):
    """A request that cannot be understood."""


class Api:
    """The routes, and the arguments that scripts have when nobody says anything."""

    def __init__(self, app: FastAPI) -> None:
        self.defaults: dict[int, list[Any]] = {}
        kinds = {"txt2img": scripts.scripts_txt2img, "img2img": scripts.scripts_img2img}
        for name, runner in kinds.items():
            self.defaults[id(runner)] = default_arguments(runner)
            app.add_api_route(f"/sdapi/v1/{name}", self.route(name, runner), methods=["POST"])
        app.add_api_route("/sdapi/v1/interrupt", self.interrupt, methods=["POST"])
        app.add_api_route("/sdapi/v1/skip", self.skip, methods=["POST"])
        app.add_api_route("/sdapi/v1/progress", self.progress, methods=["GET"])
        app.add_api_route("/sdapi/v1/scripts", self.scripts, methods=["GET"])
        app.add_api_route("/sdapi/v1/refresh-checkpoints", self.refresh, methods=["POST"])

    def interrupt(self) -> dict[str, Any]:
        """Press Interrupt."""
        shared.state.interrupt()
        return {}

    def skip(self) -> None:
        """Press Skip."""
        shared.state.skip()

    def progress(self) -> dict[str, Any]:
        """Say how far the work is."""
        return {"progress": progress.part(), "textinfo": shared.state.textinfo}

    def scripts(self) -> dict[str, list[str]]:
        """Name the scripts of either tab."""
        runners = {"txt2img": scripts.scripts_txt2img, "img2img": scripts.scripts_img2img}
        return {tab: [each.name for each in runner.scripts if each.name] for tab, runner in runners.items()}

    def refresh(self) -> None:
        """Look for checkpoints: here there are none."""

    def route(self, name: str, runner: scripts.ScriptRunner) -> Any:
        """Return the function that answers for a tab."""

        async def answer(request: Request) -> JSONResponse:
            asked = await request.json()
            try:
                return JSONResponse(await run_in_threadpool(self.work, name, runner, asked))
            except Refused as error:
                return JSONResponse({"detail": str(error)}, 422)
            except Exception as error:
                errors.report(f"API error: {request.url}", exc_info=True)
                told = {"error": type(error).__name__, "detail": "", "body": "", "errors": str(error)}
                return JSONResponse(told, 500)

        return answer

    def work(self, name: str, runner: scripts.ScriptRunner, asked: dict[str, Any]) -> dict[str, Any]:
        """Do what is asked: as in the WebUI, only a selectable script is given the whole work."""
        selected, arguments = self.arguments(runner, asked)
        p = processing_of(name, asked)
        with call_queue.queue_lock, closing(p):
            p.is_api = True
            p.scripts = runner
            p.do_not_save_samples = not asked.get("save_images", False)
            shared.state.begin(job=f"scripts_{name}")
            try:
                p.script_args = tuple(arguments)
                processed = runner.run(p, *p.script_args) if selected else processing.process_images(p)
            finally:
                shared.state.end()
        pictures = [encoded(each) for each in processed.images] if asked.get("send_images", True) else []
        return {"images": pictures, "parameters": asked, "info": processed.js()}

    def arguments(self, runner: scripts.ScriptRunner, asked: dict[str, Any]) -> tuple[Any, list[Any]]:
        """Return the selected script, and the arguments of all."""
        arguments, selected = list(self.defaults[id(runner)]), None
        if asked.get("script_name"):
            selected = named(asked["script_name"], runner.selectable_scripts)
            arguments[0] = runner.selectable_scripts.index(selected) + 1
            arguments[selected.args_from : selected.args_to] = asked.get("script_args", [])
        for title, given in (asked.get("alwayson_scripts") or {}).items():
            script = named(title, runner.alwayson_scripts)
            values = (given or {}).get("args", [])[: script.args_to - script.args_from]
            arguments[script.args_from : script.args_from + len(values)] = values
        return selected, arguments


def named(title: str, among: list[Any]) -> Any:
    """Return the script of that name."""
    for each in among:
        if (each.name or each.title()).lower() == title.lower():
            return each
    raise Refused(f"Script '{title}' not found")


def default_arguments(runner: scripts.ScriptRunner) -> list[Any]:
    """Return what the page would say if nobody touched it."""
    arguments: list[Any] = [None] * max([1, *(each.args_to or 1 for each in runner.scripts)])
    arguments[0] = 0
    with gr.Blocks():
        for script in runner.scripts:
            if controls := script.ui(script.is_img2img):
                arguments[script.args_from : script.args_to] = [each.value for each in controls]
    return arguments


def processing_of(name: str, asked: dict[str, Any]) -> Any:
    """Return what the form would have said."""
    words = name == "txt2img"
    kind = (
        processing.StableDiffusionProcessingTxt2Img if words else processing.StableDiffusionProcessingImg2Img
    )
    said = {each: value for each, value in asked.items() if each in kind.__dataclass_fields__}
    if not words:
        said["init_images"] = [decoded(each) for each in asked["init_images"]]
        said["mask"] = decoded(asked["mask"]).convert("L") if asked.get("mask") else None
    folder = opts.outdir_txt2img_samples if words else opts.outdir_img2img_samples
    return kind(**{"sampler_name": "Euler", **said, "outpath_samples": folder, "outpath_grids": folder})


def decoded(text: str) -> Any:
    """Return a picture that came as text."""
    return Image.open(io.BytesIO(base64.b64decode(text.rpartition(",")[2])))


def encoded(picture: Any) -> str:
    """Return a picture as text."""
    told = PngInfo()
    told.add_text("parameters", str(picture.info.get("parameters", "")))
    file = io.BytesIO()
    picture.save(file, "PNG", pnginfo=told)
    return base64.b64encode(file.getvalue()).decode()
