"""ministack's state files: one per service, written whole."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from atelier.cloud.gateway.hooks.private import use

_mark: Callable[[str], None] = lambda key: None  # noqa: E731 - replaced once, at install


def install(mark: Callable[[str], None]) -> None:
    """Let the other hooks say through `changed` what must be saved."""
    global _mark
    _mark = mark
    use("app", "_state_map", checked=False)
    use("core.persistence", "save_state", "service", "data")


def changed(*keys: str) -> None:
    """Note that these services' state is no longer what their files say."""
    for key in keys:
        _mark(key)


def files_of(service: str) -> tuple[str, ...]:
    """Return the keys of the files that hold the state of a *service*, by the scope it is signed for."""
    registry: Mapping[str, Any] = use("app", "SERVICE_REGISTRY", checked=False)
    entry = registry.get(service)
    if entry is None:
        return ()
    return (entry.get("state_key", entry["module"]), *entry.get("sub_modules", ()))


def every_file() -> tuple[str, ...]:
    """Return the keys of all state files of services that are loaded."""
    modules: Mapping[str, str] = use("app", "_state_map", checked=False)
    return tuple(key for key, module in modules.items() if f"ministack.services.{module}" in sys.modules)


def copy(key: str) -> Any:
    """Return a copy of a service's state, or None when it has none."""
    modules: Mapping[str, str] = use("app", "_state_map", checked=False)
    module = sys.modules.get(f"ministack.services.{modules.get(key, '')}")
    return module.get_state() if module is not None and hasattr(module, "get_state") else None


def write(key: str, state: Any) -> None:
    """Replace a service's file."""
    use("core.persistence", "save_state", checked=False)(key, state)


def progress() -> int:
    """Return how many events all stacks have: one more whenever a resource was made, changed or deleted."""
    stacks = sys.modules.get("ministack.services.cloudformation")
    store: Any = getattr(stacks, "_stack_events", None)
    return 0 if store is None else sum(len(each) for each in list(store._data.values()))
