"""What differs between gradio 3 and 4, and between the WebUIs: no other module knows of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


def gradio_major() -> int:
    """Return the first number of gradio's version."""
    import gradio

    return int(gradio.__version__.split(".")[0])


def listen(
    event: Callable[..., Any],
    fn: Callable[..., Any] | None,
    inputs: Sequence[Any] = (),
    outputs: Sequence[Any] = (),
    *,
    js: str | None = None,
    then: str | None = None,
    progress: str = "hidden",
) -> None:
    """Let a component's *event* call *fn*, beside others of its kind, and without a name in the public API.

    *js* turns the inputs' values into others before they are sent, *then* runs when the answer is there.
    gradio 4 runs one call of a function at a time unless told otherwise; gradio 3 has another word for js.
    """
    options: dict[str, Any] = {"api_name": False, "show_progress": progress}
    if gradio_major() >= 4:
        options["concurrency_limit"] = None
    if js is not None:
        options[_js()] = js
    called = event(fn=fn, inputs=list(inputs), outputs=list(outputs), **options)
    if then is not None:
        called.then(fn=None, inputs=None, outputs=None, **{_js(): then})


def _js() -> str:
    return "js" if gradio_major() >= 4 else "_js"


def refusal(status: int, message: str) -> Exception:
    """Return what makes the WebUI's own API answer with a status and a message, and print no traceback."""
    from fastapi import HTTPException

    refused: Exception = HTTPException(status_code=status, detail=message)
    return refused


def paste_buttons(buttons: dict[str, Any], text: Any, image: Any) -> None:
    """Let buttons, by the tab they lead to, send a text of parameters (and to img2img an image) there.

    The module is there since 1.9; in a WebUI without it the buttons would do nothing, so they are hidden.
    """
    try:
        from modules import infotext_utils as pasting
    except ImportError:
        for button in buttons.values():
            button.visible = False
        return
    for tab, button in buttons.items():
        pasting.register_paste_params_button(
            pasting.ParamBinding(
                paste_button=button,
                tabname=tab,
                source_text_component=text,
                source_image_component=None if tab == "txt2img" else image,
            )
        )


def gallery(**options: Any) -> Any:
    """Make a gallery that only shows, and hands images on as the WebUI's own do.

    gradio 4 would offer to drop images on it, and hand on paths; gradio 3 does neither.
    """
    import gradio

    newer = {"interactive": False, "type": "pil"} if gradio_major() >= 4 else {}
    return gradio.Gallery(**options, **newer)


def own_setting(component: Any) -> Any:
    """Keep a component's value out of the WebUI's ui-config.json; return the component."""
    component.do_not_save_to_config = True
    return component
