"""Components that the WebUI has beside gradio's."""

from __future__ import annotations

from typing import Any

import gradio as gr

IS_OLD = gr.__version__.startswith("3.")


class ToolButton(gr.Button):
    """A small button with a symbol on it."""

    def __init__(self, value: str = "", *, tooltip: str = "", elem_classes: Any = (), **named: Any) -> None:
        super().__init__(value, elem_classes=["tool", *elem_classes], min_width=40, scale=0, **named)
        self.webui_tooltip = tooltip

    def get_block_name(self) -> str:
        """Be a button for the page."""
        return "button"


class FormRow(gr.Row):
    """A row of a form."""

    def get_block_name(self) -> str:
        """Be a row for the page."""
        return "row"


class FormGroup(gr.Group):
    """A group of a form."""

    def get_block_name(self) -> str:
        """Be a group for the page."""
        return "group"


class FormHTML(gr.HTML):
    """Text in a form."""

    def get_block_name(self) -> str:
        """Be text for the page."""
        return "html"


class InputAccordion(gr.Checkbox):
    """An accordion that is an input too: true while it is open."""

    made = 0

    def __init__(self, value: bool, *, label: str = "Accordion", elem_id: str = "", **named: Any) -> None:
        InputAccordion.made += 1
        self.accordion_id = elem_id or f"input-accordion-{InputAccordion.made}"
        super().__init__(value, label=label, elem_id=f"{self.accordion_id}-checkbox", visible=False)
        self.accordion = gr.Accordion(
            label=label, open=value, elem_id=self.accordion_id, elem_classes=["input-accordion"]
        )

    def extra(self) -> gr.Column:
        """Return the place beside the label."""
        return gr.Column(elem_id=f"{self.accordion_id}-extra", min_width=0)

    def __enter__(self) -> InputAccordion:
        self.accordion.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.accordion.__exit__(*error)

    def get_block_name(self) -> str:
        """Be a checkbox for the page."""
        return "checkbox"
