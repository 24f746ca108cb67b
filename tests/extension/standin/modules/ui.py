"""The page: two tabs with a form each, the tabs of the extensions, and the settings."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import gradio as gr
from PIL import Image

from modules import call_queue, infotext_utils, script_callbacks, scripts, shared
from modules.infotext_utils import PasteField
from modules.txt2img import as_html, img2img, txt2img

IS_OLD = gr.__version__.startswith("3.")
JS = "_js" if IS_OLD else "js"
UPLOAD = {"source": "upload"} if IS_OLD else {"sources": ["upload"]}


def plaintext_to_html(text: str, classname: str | None = None) -> str:
    """Return text as a page shows it."""
    return as_html(text, classname or "")


def made(kind: Callable[..., Any], *values: Any, **named: Any) -> Any:
    """Make a component of the form; tell the scripts before and after."""
    runner = scripts.scripts_current
    if runner is not None:
        runner.before_component(None, **named)
    script_callbacks.call("before_component", None, **named)
    component = kind(*values, **named)
    script_callbacks.call("after_component", component, **named)
    if runner is not None:
        runner.after_component(component, **named)
    return component


class Form:
    """The form of one tab, and what it shows."""

    def __init__(self, tab: str, runner: scripts.ScriptRunner) -> None:
        self.tab, self.runner = tab, runner
        scripts.scripts_current = runner
        runner.prepare_ui()
        runner.initialize_scripts(is_img2img=tab == "img2img")
        self.top()
        with gr.Row():
            with gr.Column(elem_id=f"{tab}_settings"):
                self.settings()
            with gr.Column(elem_id=f"{tab}_results"):
                self.results()
        scripts.scripts_current = None
        self.wire()

    def part(self, kind: Callable[..., Any], name: str, *values: Any, **named: Any) -> Any:
        """Make a component with an id of this tab."""
        return made(kind, *values, elem_id=f"{self.tab}_{name}", **named)

    def top(self) -> None:
        """Make the prompts and the buttons."""
        with gr.Row(elem_id=f"{self.tab}_toprow"):
            with gr.Column(scale=6):
                self.prompt = self.part(gr.Textbox, "prompt", label="Prompt", lines=3)
                self.negative = self.part(gr.Textbox, "neg_prompt", label="Negative prompt", lines=2)
            with gr.Column(scale=1, elem_id=f"{self.tab}_actions_column"):
                with self.part(gr.Row, "generate_box"):
                    self.interrupt = self.part(gr.Button, "interrupt", "Interrupt")
                    self.skip = self.part(gr.Button, "skip", "Skip")
                    self.generate = self.part(gr.Button, "generate", "Generate", variant="primary")
                with self.part(gr.Row, "tools"):
                    self.paste = self.part(gr.Button, "paste", "↙️")

    def settings(self) -> None:
        """Make the numbers, and what the scripts bring."""
        slider = self.part
        self.task = gr.Textbox(visible=False)
        if self.tab == "img2img":
            self.picture = self.part(gr.Image, "image", label="Image for img2img", type="pil", **UPLOAD)
            self.mask = made(gr.Image, label="Mask", type="pil", elem_id="img_inpaint_mask", **UPLOAD)
        self.runner.setup_ui_for_section("sampler")
        with gr.Row():
            self.width = slider(gr.Slider, "width", 64, 2048, 512, step=8, label="Width")
            self.height = slider(gr.Slider, "height", 64, 2048, 512, step=8, label="Height")
        with gr.Row():
            self.count = slider(gr.Slider, "batch_count", 1, 100, 1, step=1, label="Batch count")
            self.size = slider(gr.Slider, "batch_size", 1, 8, 1, step=1, label="Batch size")
        self.cfg = slider(gr.Slider, "cfg_scale", 1, 30, 7, step=0.5, label="CFG Scale")
        self.runner.setup_ui_for_section("seed")
        self.denoising = slider(
            gr.Slider, "denoising_strength", 0, 1, 0.7, step=0.01, label="Denoising strength"
        )
        self.more = self.hires() if self.tab == "txt2img" else self.painted()
        self.override = gr.Dropdown([], label="Override settings", visible=False, multiselect=True)
        self.custom = self.runner.setup_ui()

    def hires(self) -> list[Any]:
        """Make what only txt2img has."""
        with gr.Accordion("Hires. fix", open=False):
            enable = made(gr.Checkbox, label="Hires. fix", value=False, elem_id="txt2img_hr-checkbox")
            scale = self.part(gr.Slider, "hr_scale", 1, 4, 2, step=0.05, label="Upscale by")
            upscaler = self.part(
                gr.Dropdown, "hr_upscaler", ["Latent", "None"], value="Latent", label="Upscaler"
            )
            steps = self.part(gr.Slider, "hires_steps", 0, 150, 0, step=1, label="Hires steps")
        return [enable, self.denoising, scale, upscaler, steps]

    def painted(self) -> list[Any]:
        """Make what only img2img has."""
        modes, fills = ["Just resize", "Crop and resize", "Resize and fill"], ["fill", "original"]
        fills += ["latent noise", "latent nothing"]
        mode = made(gr.Radio, modes, value=modes[0], label="Resize mode", elem_id="resize_mode")
        fill = self.part(gr.Radio, "inpainting_fill", fills, value="original", label="Masked content")
        return [self.denoising, mode, fill]

    def results(self) -> None:
        """Make the place for pictures."""
        preview = {"show_label": False, "preview": True, "columns": 4, "interactive": False}
        self.gallery = self.part(gr.Gallery, "gallery", label="Output", **preview)
        self.send = self.part(gr.Button, "send_to_img2img", "🖼️")
        self.info = made(gr.HTML, elem_id=f"html_info_{self.tab}")
        self.log = made(gr.HTML, elem_id=f"html_log_{self.tab}")
        self.generation = gr.Textbox(visible=False, elem_id=f"generation_info_{self.tab}")

    def wire(self) -> None:
        """Let the buttons work."""
        work = txt2img if self.tab == "txt2img" else img2img
        inputs = [
            self.task,
            self.prompt,
            self.negative,
            self.count,
            self.size,
            self.cfg,
            self.width,
            self.height,
        ]
        inputs += [*self.more, self.override]
        inputs += [self.picture, self.mask] if self.tab == "img2img" else []
        self.generate.click(
            call_queue.wrap_gradio_gpu_call(work, [[], "", ""]),
            inputs=[*inputs, *self.custom],
            outputs=[self.gallery, self.generation, self.info, self.log],
            show_progress="hidden",
            **{JS: f"(...values) => standin.submit('{self.tab}', values)"},
        )
        self.interrupt.click(shared.state.interrupt)
        self.skip.click(shared.state.skip)
        infotext_utils.add_paste_fields(self.tab, getattr(self, "picture", None), self.fields())
        binding = infotext_utils.ParamBinding(self.paste, self.tab, source_text_component=self.prompt)
        infotext_utils.register_paste_params_button(binding)

    def fields(self) -> list[PasteField]:
        """Return what an infotext can fill."""
        names = ("Prompt", "Negative prompt", "CFG scale", "Size-1", "Size-2")
        parts = (self.prompt, self.negative, self.cfg, self.width, self.height)
        return [*map(PasteField, parts, names), *self.runner.infotext_fields]


def sent(gallery: Any, generation: str) -> tuple[Any, Any]:
    """Return the first picture of a gallery and its prompt."""
    first = gallery[0]
    first = first[0] if isinstance(first, list | tuple) else first
    path = first["name"] if isinstance(first, dict) else str(first)
    with Image.open(path) as picture:
        return picture.convert("RGB"), json.loads(generation)["prompt"]


def settings() -> None:
    """Make a section of settings for every group of options."""
    for label in dict.fromkeys(each.section[1] for each in shared.opts.data_labels.values() if each.section):
        with gr.Accordion(label, open=True):
            for name, info in shared.opts.data_labels.items():
                if info.section and info.section[1] == label:
                    _setting(name, info)


def _setting(name: str, info: Any) -> None:
    arguments = info.component_args() if callable(info.component_args) else info.component_args or {}
    if info.component is None and not isinstance(info.default, str | bool | int | float):
        return
    if info.do_not_save:
        gr.HTML(info.default, elem_id=f"setting_{name}")
        return
    kind = info.component or (gr.Checkbox if isinstance(info.default, bool) else gr.Textbox)
    component = kind(
        label=info.label, value=getattr(shared.opts, name), elem_id=f"setting_{name}", **arguments
    )

    def change(value: Any) -> None:
        shared.opts.set(name, value)
        shared.opts.save(shared.config_filename)

    if hasattr(component, "change"):
        component.change(change, inputs=[component])


def create_ui() -> gr.Blocks:
    """Make the page."""
    script_callbacks.call("ui_settings")
    with gr.Blocks(analytics_enabled=False) as words:
        left = Form("txt2img", scripts.scripts_txt2img)
    with gr.Blocks(analytics_enabled=False) as pictures:
        right = Form("img2img", scripts.scripts_img2img)
    with gr.Blocks(analytics_enabled=False) as options:
        settings()
    tabs = [(words, "txt2img", "txt2img"), (pictures, "img2img", "img2img")]
    for answer in script_callbacks.call("ui_tabs"):
        tabs += answer or []
    tabs.append((options, "Settings", "settings"))
    with gr.Blocks(analytics_enabled=False, title="Stand-in WebUI") as demo:
        with gr.Tabs(elem_id="tabs") as bar:
            for interface, label, id in tabs:
                with gr.TabItem(label, id=id, elem_id=f"tab_{id}"):
                    interface.render()
        for form in (left, right):
            form.send.click(sent, [form.gallery, form.generation], [right.picture, right.prompt]).then(
                lambda: _selected("img2img"), outputs=[bar]
            )
        infotext_utils.connect_paste_params_buttons()
    shared.demo = demo
    return demo


def _selected(id: str) -> Any:
    return gr.Tabs.update(selected=id) if IS_OLD else gr.Tabs(selected=id)
