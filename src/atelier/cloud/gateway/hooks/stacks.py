"""CloudFormation: our resource types beside ministack's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from atelier.cloud.gateway.hooks.private import replace, use

Properties = Mapping[str, Any]
Result = tuple[str, dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Provisioner:
    """What CloudFormation calls for one type, with the key of whoever started the stack operation."""

    create: Callable[[str, str, str, str, Properties], Result]
    """(signer's key, stack, logical id, generated name, properties) -> physical id and attributes"""
    update: Callable[[str, str, str, str, str, Properties], Result]
    """(signer's key, stack, logical id, generated name, physical id, properties) -> the same"""
    delete: Callable[[str, str, Properties], None]
    """(signer's key, physical id, properties)"""


def install(types: Mapping[str, Provisioner]) -> None:
    """Register *types*; their work runs in threads, for it may call back into this server."""
    handlers = use("services.cloudformation.provisioners", "_RESOURCE_HANDLERS", checked=False)
    for name, provisioner in types.items():
        handlers[name] = _entry(provisioner)
    replace(
        "services.cloudformation.stacks",
        "_runs_on_worker_thread",
        "resource_type",
        by=lambda original: lambda resource_type: resource_type in types or original(resource_type),
    )


def signer() -> str:
    """Return the key whose verified signature started what runs in this context."""
    key: str = use("core.iam_evaluator", "_verified_key", checked=False).get()
    return key


def _entry(provisioner: Provisioner) -> dict[str, Any]:
    name_for = use(
        "services.cloudformation.provisioners",
        "_physical_name",
        *("stack_name", "logical_id", "lowercase", "max_len", "seeded"),
    )

    def create(logical_id: str, properties: Properties, stack_name: str) -> Result:
        name = name_for(stack_name, logical_id, max_len=63)
        return provisioner.create(signer(), stack_name, logical_id, name, properties)

    def update(
        physical_id: str, _old: Properties, new: Properties, stack_name: str, logical_id: str | None = None
    ) -> Result:
        logical = logical_id or physical_id
        name = name_for(stack_name, logical, max_len=63)
        return provisioner.update(signer(), stack_name, logical, name, physical_id, new)

    def delete(physical_id: str, properties: Properties) -> None:
        provisioner.delete(signer(), physical_id, properties)

    return {"create": create, "update": update, "update_with_logical_id": True, "delete": delete}
