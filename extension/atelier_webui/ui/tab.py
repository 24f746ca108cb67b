"""The Atelier tab: what is in the cloud, one pane for each kind of it."""

from __future__ import annotations

from typing import Any

import gradio as gr

from atelier_webui.compat import own_setting
from atelier_webui.desk import Desk
from atelier_webui.ui import accounts, checkpoints, datasets, endpoints, jobs, merge, training, users

PANES = (
    ("Jobs", jobs),
    ("Datasets", datasets),
    ("Training", training),
    ("Merge", merge),
    ("Checkpoints", checkpoints),
    ("Endpoints", endpoints),
    ("Users", users),
    ("Accounts", accounts),
)
"""In their order; a pane is a module with a `build`. The page presses its Refresh when it comes in sight."""


def build(desk: Desk) -> Any:
    """Make the tab."""
    with gr.Blocks(analytics_enabled=False) as page:
        account = gr.Dropdown(
            label="Account",
            choices=desk.names(),
            value=desk.first(),
            elem_id="atelier_account",
            allow_custom_value=True,
        )
        with gr.Tabs(elem_id="atelier_panes"):
            for label, pane in PANES:
                with gr.TabItem(label, elem_id=f"atelier_pane_{label.lower()}"):
                    pane.build(desk, account)
    for each in page.blocks.values():
        own_setting(each)
    return page
