"""Access to ministack's private names that fails at start, and by name, when one is not what we know."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any


class Mismatch(Exception):
    """The installed ministack lacks a name that the gateway builds on, or has it in another form."""


def use(module: str, name: str, *parameters: str, checked: bool = True) -> Any:
    """Return ``ministack.<module>.<name>``, a callable of exactly *parameters*.

    With ``checked=False`` it is no function, and only has to exist.
    """
    where = f"ministack.{module}.{name}"
    try:
        target: Any = importlib.import_module(f"ministack.{module}")
        for part in name.split("."):
            target = getattr(target, part)
    except (ImportError, AttributeError) as error:
        raise Mismatch(f"{where} is missing: the gateway needs ministack 1.5.33 ({error})") from error
    if checked:
        found = tuple(inspect.signature(target).parameters)
        if found != parameters:
            raise Mismatch(
                f"{where}({', '.join(found)}) should be ({', '.join(parameters)}): use ministack 1.5.33"
            )
    return target


def replace(module: str, name: str, *parameters: str, by: Callable[[Any], Any], checked: bool = True) -> None:
    """Put ``by(original)`` in the place of ``ministack.<module>.<name>``, once it is checked as in `use`."""
    original = use(module, name, *parameters, checked=checked)
    owner_name, _, attribute = name.rpartition(".")
    owner: Any = importlib.import_module(f"ministack.{module}")
    for part in owner_name.split(".") if owner_name else ():
        owner = getattr(owner, part)
    setattr(owner, attribute, by(original))
