"""Puts the checks and completions of this package around ministack's provisioners."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from atelier.cloud.gateway.hooks import schedule, state
from atelier.cloud.gateway.hooks.federation import operations as federation
from atelier.cloud.gateway.hooks.private import replace, use
from atelier.cloud.gateway.hooks.templates import completed, distributions, required, secrets, vouched

PROVISIONERS = "services.cloudformation.provisioners"


def install(ours: Mapping[str, frozenset[str]]) -> None:
    """Refuse what neither we nor ministack do; *ours* are our types with their properties."""
    completed.used()
    required.used()
    secrets.install()
    for module in ("engine", "handlers", "changesets"):
        replace(
            f"services.cloudformation.{module}",
            "validate_template_support",
            *("template", "conditions", "params"),
            by=lambda original: _only_vouched(original, ours),
        )
    handlers: dict[str, dict[str, Any]] = use(PROVISIONERS, "_RESOURCE_HANDLERS", checked=False)
    handlers["AWS::ApiGateway::RequestValidator"] = {
        "create": completed.validator_create,
        "update": completed.validator_update,
        "delete": completed.validator_delete,
    }
    handlers[schedule.TYPE] = {
        "create": schedule.create,
        "update": schedule.update,
        "delete": schedule.delete,
    }
    handlers[federation.TYPE] = {
        "create": federation.resource_create,
        "update": federation.resource_update,
        "delete": federation.resource_delete,
    }
    distributions.own_names(handlers)
    for kind in {*completed.AFTER, *required.BEFORE, *required.BEFORE_DELETE}:
        _wrap(handlers[kind], required.BEFORE.get(kind), completed.AFTER.get(kind))
        if check := required.BEFORE_DELETE.get(kind):
            handlers[kind]["delete"] = _deleted_after(check, handlers[kind]["delete"])


def _only_vouched(original: Callable[..., None], ours: Mapping[str, frozenset[str]]) -> Callable[..., None]:
    def validate(template: Any, conditions: Any, params: Any = None) -> None:
        state.changed("cloudformation")
        refused = vouched.refusals(template, ours)
        if refused:
            raise ValueError(f"Unsupported: {', '.join(refused)} is not part of the local cloud")
        original(template, conditions, params)

    return validate


def _wrap(entry: dict[str, Any], before: required.Before | None, after: completed.After | None) -> None:
    create, update, delete = entry["create"], entry.get("update"), entry["delete"]

    def checked_create(logical_id: str, properties: Any, stack: str) -> Any:
        _do(before, properties)
        made = create(logical_id, properties, stack)
        try:
            _do(after, made[0], properties)
        except Exception:
            delete(made[0], properties)  # leave nothing half made behind
            raise
        return made

    entry["create"] = checked_create
    if update:
        entry["update"], entry["update_with_logical_id"] = _updated(update, before, after), True


def _updated(
    update: Callable[..., Any], before: required.Before | None, after: completed.After | None
) -> Any:
    takes_logical_id = "logical_id" in inspect.signature(update).parameters

    def checked(physical_id: str, old: Any, new: Any, stack: str, logical_id: str | None = None) -> Any:
        _do(before, new)
        more = {"logical_id": logical_id} if takes_logical_id else {}
        made = update(physical_id, old, new, stack, **more)
        _do(after, made[0], new)
        return made

    return checked


def _do(step: Callable[..., None] | None, *arguments: Any) -> None:
    if step:
        step(*arguments)


def _deleted_after(check: Callable[[str, Any], None], delete: Callable[..., None]) -> Callable[..., None]:
    def checked(physical_id: str, properties: Any) -> None:
        check(physical_id, properties)
        delete(physical_id, properties)

    return checked
