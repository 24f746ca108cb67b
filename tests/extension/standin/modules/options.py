"""Settings: declared with a component, kept in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class OptionInfo:
    """One setting."""

    def __init__(
        self,
        default: Any = None,
        label: str = "",
        component: Any = None,
        component_args: Any = None,
        onchange: Any = None,
        section: Any = None,
        **others: Any,
    ) -> None:
        self.default, self.label, self.component = default, label, component
        self.component_args, self.onchange, self.section = component_args, onchange, section
        self.others = others
        self.do_not_save = False

    def info(self, text: str) -> OptionInfo:
        """Say more about the setting."""
        self.label += f" ({text})"
        return self

    def needs_reload_ui(self) -> OptionInfo:
        """Say that the page must be loaded again."""
        return self.info("needs Reload UI")

    needs_restart = needs_reload_ui


class OptionHTML(OptionInfo):
    """Text among the settings."""

    def __init__(self, text: str) -> None:
        super().__init__(str(text).strip(), label="")
        self.do_not_save = True


def options_section(section: tuple[str, ...], options: dict[str, OptionInfo]) -> dict[str, OptionInfo]:
    """Put the options into a section."""
    for each in options.values():
        each.section = section
    return options


class Options:
    """The values of all settings, as attributes."""

    def __init__(self, labels: dict[str, OptionInfo]) -> None:
        self.__dict__["data_labels"] = labels
        self.__dict__["data"] = {name: each.default for name, each in labels.items()}

    def __getattr__(self, name: str) -> Any:
        if name in self.__dict__["data"]:
            return self.__dict__["data"][name]
        if name in self.__dict__["data_labels"]:
            return self.__dict__["data_labels"][name].default
        raise AttributeError(name)

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__["data"][name] = value

    def add_option(self, name: str, info: OptionInfo) -> None:
        """Declare a setting."""
        self.data_labels[name] = info
        if not info.do_not_save:
            self.data.setdefault(name, info.default)

    def set(self, name: str, value: Any, **_: Any) -> bool:
        """Change a setting; say whether it changed."""
        if self.data.get(name) == value:
            return False
        self.data[name] = value
        if self.data_labels[name].onchange:
            self.data_labels[name].onchange()
        return True

    def get_default(self, name: str) -> Any:
        """Return what a setting is by itself."""
        return self.data_labels[name].default

    def load(self, path: Path) -> None:
        """Take what the file says."""
        if path.exists():
            self.data.update(json.loads(path.read_text()))

    def save(self, path: str | Path) -> None:
        """Keep the values."""
        Path(path).write_text(json.dumps(self.data, indent=2))
