"""The endpoints in the cloud: how they are, a new one, one less."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import gradio as gr

from atelier_webui.compat import listen
from atelier_webui.desk import Desk
from atelier_webui.ui import words
from atelier_webui.ui.answers import CONFIRMED, clearing, confirming, emptied, telling

if TYPE_CHECKING:
    from atelier_webui.contract.api.endpoints import CreateEndpointRequest, Endpoint

TYPES = ["ml.g4dn.xlarge", "ml.g4dn.2xlarge", "ml.g5.xlarge", "ml.g5.2xlarge", "ml.g6.xlarge"]
REFRESH = "atelier_endpoints_refresh"
HEADS = ("Name", "Status", "Kind", "Instances", "Machine", "For", "Made (UTC)")


def build(desk: Desk, account: Any) -> None:
    """Make the pane; *account* is the menu above all panes."""
    message = gr.HTML("", elem_id="atelier_endpoints_message")
    listed = gr.HTML(words.note("Refresh shows what the cloud has."), elem_id="atelier_endpoints")
    with gr.Row(elem_classes=["atelier-actions"]):
        refresh = gr.Button("Refresh", elem_id=REFRESH)
        chosen = gr.Dropdown(
            label="Endpoint",
            choices=[],
            value="",
            elem_id="atelier_endpoints_chosen",
            allow_custom_value=True,
        )
        delete = gr.Button("Delete", elem_id="atelier_endpoints_delete")
    told = gr.HTML("", elem_id="atelier_endpoints_told")
    outputs, changed = [message, listed, chosen], [told, listed, chosen]
    listen(
        refresh.click, telling(lambda name: _refresh(desk, name), 3), [account], outputs, progress="minimal"
    )
    clearing(account, [*outputs, told], [*_cleared(), ""], REFRESH)
    listen(
        delete.click,
        telling(lambda *given: _delete(desk, *given), 3),
        [account, chosen, gr.Textbox(visible=False)],
        changed,
        js=confirming("Delete the endpoint {}? Jobs that wait for it will fail.", 3),
    )
    _build_new(desk, account, changed)


def _build_new(desk: Desk, account: Any, changed: list[Any]) -> None:
    with gr.Accordion("New endpoint", open=False, elem_id="atelier_endpoints_new"):
        with gr.Row():
            name = gr.Textbox(label="Name (or none)", elem_id="atelier_endpoints_name")
            kind = gr.Dropdown(
                label="Kind", choices=["Async", "Real-time"], value="Async", elem_id="atelier_endpoints_kind"
            )
            machine = gr.Dropdown(
                label="Machine",
                choices=TYPES,
                value=TYPES[0],
                allow_custom_value=True,
                elem_id="atelier_endpoints_machine",
            )
            roles = gr.Textbox(label="For the roles", value="IT Operator", elem_id="atelier_endpoints_roles")
        with gr.Row():
            count = gr.Number(label="Instances", value=1, precision=0, elem_id="atelier_endpoints_count")
            scales = gr.Checkbox(
                label="Scale with the work, to none at rest", value=True, elem_id="atelier_endpoints_scales"
            )
            most = gr.Number(label="At most", value=1, precision=0, elem_id="atelier_endpoints_most")
        create = gr.Button("Create", variant="primary", elem_id="atelier_endpoints_create")
    given = [account, name, kind, machine, roles, count, scales, most]
    listen(
        create.click, telling(lambda *values: _create(desk, *values), 3), given, changed, progress="minimal"
    )


def _create(desk: Desk, account: str, *given: Any) -> list[Any]:
    made = desk.client(account).create_endpoint(_request(*given))
    told = f"{made.endpoint_name} is being made; it takes some minutes. Refresh shows how it is."
    return [words.note(told), *_listed(desk, account)]


def _request(
    name: str, kind: Any, machine: str, roles: str, count: float, scales: bool, most: float
) -> CreateEndpointRequest:
    from atelier_webui.contract.api.endpoints import CreateEndpointRequest

    return CreateEndpointRequest(
        endpoint_type=kind,
        instance_type=machine,
        initial_instance_count=int(count or 0),
        autoscaling_enabled=scales,
        assign_to_roles=tuple(each.strip() for each in roles.split(",") if each.strip()),
        endpoint_name=name.strip() or None,
        min_instance_number=(0 if kind == "Async" else 1) if scales else None,
        max_instance_number=int(most or 0) if scales else None,
    )


def _delete(desk: Desk, account: str, chosen: str, sure: str) -> list[Any]:
    if sure != CONFIRMED or not chosen:
        return [words.note("Nothing was deleted."), gr.update(), gr.update()]
    desk.client(account).delete_endpoints([chosen])
    return [words.note(f"{chosen} is being deleted."), *emptied(*_listed(desk, account))]


def _refresh(desk: Desk, account: str) -> list[Any]:
    return [words.answered_of(account, REFRESH), *_listed(desk, account)]


def _cleared() -> list[Any]:
    return ["", words.note("Refresh shows what the cloud has."), gr.update(choices=[], value="")]


def _listed(desk: Desk, account: str) -> list[Any]:
    found = desk.client(account).endpoints()
    shown = words.table("Endpoints in the cloud", HEADS, [_row(each) for each in found], "There is none yet.")
    names = [each.endpoint_name for each in found]
    return [shown, gr.update(choices=names)]


def _row(endpoint: Endpoint) -> Sequence[str]:
    limits = (
        f" ({endpoint.min_instance_number} to {endpoint.max_instance_number})" if endpoint.autoscaling else ""
    )
    status = f"{endpoint.endpoint_status}: {endpoint.error}" if endpoint.error else endpoint.endpoint_status
    return (
        endpoint.endpoint_name,
        status,
        endpoint.endpoint_type,
        f"{endpoint.current_instance_count}{limits}",
        endpoint.instance_type,
        ", ".join(endpoint.owner_group_or_role),
        words.when(endpoint.startTime),
    )
