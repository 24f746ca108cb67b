"""What scripts ask to be called at."""

from __future__ import annotations

import traceback
from collections import defaultdict
from collections.abc import Callable
from typing import Any

_asked: dict[str, list[Callable[..., Any]]] = defaultdict(list)


def call(event: str, *arguments: Any, **named: Any) -> list[Any]:
    """Call everyone; what raises is told on the terminal and does no harm, as in the WebUI."""
    answers = []
    for each in _asked[event]:
        try:
            answers.append(each(*arguments, **named))
        except Exception:
            traceback.print_exc()
    return answers


def on_app_started(callback: Callable[..., Any], *, name: str | None = None) -> None:
    """Ask for a call with the page and the application, once both are there."""
    _asked["app_started"].append(callback)


def on_before_ui(callback: Callable[..., Any], *, name: str | None = None) -> None:
    """Ask for a call before the page is made."""
    _asked["before_ui"].append(callback)


def on_ui_tabs(callback: Callable[..., Any], *, name: str | None = None) -> None:
    """Ask for a call that returns tabs: (blocks, title, id)."""
    _asked["ui_tabs"].append(callback)


def on_ui_settings(callback: Callable[..., Any], *, name: str | None = None) -> None:
    """Ask for a call that adds options."""
    _asked["ui_settings"].append(callback)


def on_before_component(callback: Callable[..., Any], *, name: str | None = None) -> None:
    """Ask for a call before each component."""
    _asked["before_component"].append(callback)


def on_after_component(callback: Callable[..., Any], *, name: str | None = None) -> None:
    """Ask for a call after each component."""
    _asked["after_component"].append(callback)


def on_script_unloaded(callback: Callable[..., Any], *, name: str | None = None) -> None:
    """Ask for a call before scripts are loaded again."""
    _asked["script_unloaded"].append(callback)


def on_infotext_pasted(callback: Callable[..., Any], *, name: str | None = None) -> None:
    """Ask for a call with what was read from an infotext."""
    _asked["infotext_pasted"].append(callback)
