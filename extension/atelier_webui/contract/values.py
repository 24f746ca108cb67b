"""Values: frozen records of named members."""

from __future__ import annotations

from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

if TYPE_CHECKING:
    from typing import dataclass_transform
else:

    def dataclass_transform(**_: bool) -> Any:
        """Stand in for what only type checkers read, and Python 3.10 does not have."""
        return lambda cls: cls


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Value:
    """A frozen record, made of keyword arguments alone; its subclasses are dataclasses.

    They inherit from here what ``@dataclass(frozen=True, kw_only=True)`` would write and compile for each of
    them whenever a function starts, which would be most of the time that importing them takes.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def __init_subclass__(cls) -> None:
        """Make the subclass a dataclass, without methods of its own."""
        dataclass(init=False, repr=False, eq=False)(cls)

    def __init__(self, **members: Any) -> None:
        names = {each.name for each in fields(self)}
        for each in fields(self):
            if each.name in members:
                continue
            if each.default is not MISSING:
                members[each.name] = each.default
            elif each.default_factory is not MISSING:
                members[each.name] = each.default_factory()
        if missing := sorted(names - members.keys()):
            raise TypeError(f"{type(self).__name__} needs {', '.join(missing)}")
        if unknown := sorted(members.keys() - names):
            raise TypeError(f"{type(self).__name__} has no {', '.join(unknown)}")
        self.__dict__.update(members)

    def __repr__(self) -> str:
        """Show the members, but for those that are not to be shown."""
        shown = (f"{each.name}={getattr(self, each.name)!r}" for each in fields(self) if each.repr)
        return f"{type(self).__name__}({', '.join(shown)})"

    def __eq__(self, other: object) -> bool:
        """Say whether *other* is of the same class and has the same members."""
        return self.__dict__ == other.__dict__ if type(self) is type(other) else NotImplemented

    def __hash__(self) -> int:
        """Return a number that is the same for equal values."""
        return hash(tuple(getattr(self, each.name) for each in fields(self)))

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        """Refuse: a change is another value, made by `dataclasses.replace`."""
        raise FrozenInstanceError(f"{type(self).__name__}.{name} cannot be assigned to")

    def __delattr__(self, name: str) -> NoReturn:
        """Refuse."""
        raise FrozenInstanceError(f"{type(self).__name__}.{name} cannot be deleted")
