"""Infotexts: read, and put back into a form."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import gradio as gr

from modules import script_callbacks

paste_fields: dict[str, dict[str, Any]] = {}
registered: list[ParamBinding] = []
PAIR = re.compile(r'\s*([\w ()+/-]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')


class PasteField(tuple):
    """A component, and the name of its value in an infotext."""

    def __new__(cls, component: Any, target: Any, *, api: str | None = None) -> PasteField:
        """Be a pair."""
        return super().__new__(cls, (component, target))

    def __init__(self, component: Any, target: Any, *, api: str | None = None) -> None:
        self.api, self.component = api, component
        self.label = target if isinstance(target, str) else None
        self.function = target if callable(target) else None


class ParamBinding:
    """A button that puts an infotext into the form of a tab."""

    def __init__(
        self,
        paste_button: Any,
        tabname: str,
        source_text_component: Any = None,
        source_image_component: Any = None,
        source_tabname: str | None = None,
        override_settings_component: Any = None,
        paste_field_names: list[str] | None = None,
    ) -> None:
        self.paste_button, self.tabname = paste_button, tabname
        self.source_text_component = source_text_component
        self.source_image_component = source_image_component
        self.source_tabname = source_tabname


def register_paste_params_button(binding: ParamBinding) -> None:
    """Take a button; it works once the page is made."""
    registered.append(binding)


def add_paste_fields(tab: str, init_img: Any, fields: list[Any], override: Any = None) -> None:
    """Say which fields a tab has."""
    paste_fields[tab] = {"init_img": init_img, "fields": fields, "override_settings_component": override}


def connect_paste_params_buttons() -> None:
    """Let the buttons work."""
    for each in registered:
        fields = [field for field in paste_fields[each.tabname]["fields"] if field[0] is not None]
        picture = paste_fields[each.tabname]["init_img"]
        if each.source_image_component is not None and picture is not None:
            each.paste_button.click(lambda value: value, [each.source_image_component], [picture])
        if each.source_text_component is not None:
            pasting = _pasting([target for _, target in fields])
            outputs = [component for component, _ in fields]
            each.paste_button.click(pasting, inputs=[each.source_text_component], outputs=outputs)
    registered.clear()


def _pasting(targets: list[Any]) -> Callable[[str], Any]:
    def paste(text: str) -> Any:
        found = parse_generation_parameters(text or "")
        script_callbacks.call("infotext_pasted", text, found)
        updates = [_update(found, target) for target in targets]
        return updates[0] if len(updates) == 1 else updates

    return paste


def _update(found: dict[str, Any], target: Any) -> Any:
    value = target(found) if callable(target) else found.get(target)
    if value is None:
        return gr.update()
    if isinstance(value, str):
        value = _typed(value)
    return value if isinstance(value, dict) else gr.update(value=value)


def _typed(text: str) -> Any:
    try:
        return json.loads(text) if re.fullmatch(r"-?\d+(\.\d+)?", text) else text
    except ValueError:
        return text


def parse_generation_parameters(text: str, skip_fields: list[str] | None = None) -> dict[str, Any]:
    """Return what an infotext says: Prompt, Negative prompt, and every pair of its last line."""
    lines = text.strip().split("\n")
    last = lines.pop() if len(PAIR.findall(lines[-1])) >= 3 else ""
    start = next((at for at, line in enumerate(lines) if line.startswith("Negative prompt:")), len(lines))
    found: dict[str, Any] = {
        "Prompt": "\n".join(lines[:start]).strip(),
        "Negative prompt": "\n".join(lines[start:]).removeprefix("Negative prompt:").strip(),
    }
    for name, value in PAIR.findall(last):
        found[name.strip()] = json.loads(value) if value.startswith('"') else value.strip()
    if size := re.fullmatch(r"(\d+)x(\d+)", found.get("Size", "")):
        found["Size-1"], found["Size-2"] = size.groups()
    return found


def create_override_settings_dict(pairs: list[str]) -> dict[str, Any]:
    """Return the settings that `name: value` texts say."""
    return {name.strip(): value.strip() for name, _, value in (each.partition(":") for each in pairs or [])}
