"""Handlers of events: what goes wrong is told on the page, and the rest of it stays as it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import gradio as gr

from atelier_webui.compat import listen
from atelier_webui.errors import Problem
from atelier_webui.ui import words

Handler = Callable[..., list[Any]]

CONFIRMED = "yes"


def telling(handler: Handler, outputs: int) -> Handler:
    """Return a handler whose first output tells of its Problem; its others, *outputs* less one, stay then."""

    @wraps(handler)
    def told(*values: Any) -> list[Any]:
        try:
            return handler(*values)
        except Problem as problem:
            return [words.problem(problem), *(gr.update() for _ in range(outputs - 1))]

    return told


def clearing(account: Any, outputs: Sequence[Any], cleared: Sequence[Any], again: str = "") -> None:
    """Let another *account* clear the outputs at once, and press the button *again*, if its pane is in sight.

    The browser does it: an answer might be late, and clear what was chosen since.
    """
    pane = outputs[0].elem_id
    updates = [{**each, "__type__": "update"} if isinstance(each, dict) else each for each in cleared]
    script = f"(account) => atelierChanged({pane!r}, account, {json.dumps(updates)}, {again!r})"
    listen(account.change, None, [account], outputs, js=script)


def offering(names: Sequence[str], chosen: str, **options: Any) -> Any:
    """Return what lets a menu offer accounts; what is chosen of them is not chosen anew.

    That would tell of a change, and undo what was chosen while the answer was on its way.
    """
    if chosen not in names:
        options["value"] = names[0] if names else ""
    return gr.update(choices=list(names), **options)


def emptied(table: str, menu: dict[str, Any]) -> list[Any]:
    """Return a list whose *menu* has nothing chosen: what was chosen is no more."""
    return [table, {**menu, "value": ""}]


def calling(script: str) -> str:
    """Return the JavaScript of an event that only calls something: it has no outputs, so no values."""
    return f"() => {{ {script}; return []; }}"


def pressing(button: str) -> str:
    """Return the JavaScript that presses a list's button after an act, if its pane is in sight."""
    return calling(f"atelierPressAfresh({button!r})")


def confirming(question: str, inputs: int) -> str:
    """Return the JavaScript that asks before an event is sent: the last of its *inputs* becomes the answer.

    In *question*, {} stands for the first but one of the inputs.
    """
    before, _, after = question.partition("{}")
    return (
        "(...values) => {"
        f"const given = values.slice(0, {inputs - 1});"
        f"const sure = !given[{inputs - 2}]?.length || confirm({before!r} + given[{inputs - 2}] + {after!r});"
        f"return [...given, sure ? {CONFIRMED!r} : ''];"
        "}"
    )
