"""Scripts: loaded from the extensions, shown in both tabs, called around the work."""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
from collections import namedtuple
from pathlib import Path
from types import ModuleType
from typing import Any

import gradio as gr

from modules import errors, paths, shared

AlwaysVisible = object()
ScriptClassData = namedtuple("ScriptClassData", ["script_class", "path", "basedir", "module"])
OnComponent = namedtuple("OnComponent", ["component"])
scripts_data: list[ScriptClassData] = []
_folder = [paths.script_path]


class Script:
    """What extensions derive from."""

    name = None
    section = None
    filename = None
    args_from = None
    args_to = None
    alwayson = False
    is_txt2img = False
    is_img2img = False
    tabname = None
    group = None
    create_group = True
    infotext_fields = None
    paste_field_names = None
    api_info = None
    on_before_component_elem_id = None
    on_after_component_elem_id = None
    setup_for_ui_only = False
    controls = None

    def title(self) -> str:
        """Return the script's name."""
        raise NotImplementedError

    def ui(self, is_img2img: bool) -> Any:
        """Make components; return those whose values are the script's arguments."""

    def show(self, is_img2img: bool) -> Any:
        """Say where the script is shown."""
        return True

    def run(self, p: Any, *args: Any) -> Any:
        """Do the whole work."""

    def setup(self, p: Any, *args: Any) -> None:
        """Be called once p has the arguments."""

    def before_process(self, p: Any, *args: Any) -> None:
        """Be called before the work."""

    def process(self, p: Any, *args: Any) -> None:
        """Be called as the work begins."""

    def postprocess(self, p: Any, processed: Any, *args: Any) -> None:
        """Be called after the work."""

    def before_component(self, component: Any, **named: Any) -> None:
        """Be called before a component is made."""

    def after_component(self, component: Any, **named: Any) -> None:
        """Be called after a component is made."""

    def on_before_component(self, callback: Any, *, elem_id: str) -> None:
        """Ask for a call before the component of that id."""
        self.on_before_component_elem_id = [*(self.on_before_component_elem_id or []), (elem_id, callback)]

    def on_after_component(self, callback: Any, *, elem_id: str) -> None:
        """Ask for a call after the component of that id."""
        self.on_after_component_elem_id = [*(self.on_after_component_elem_id or []), (elem_id, callback)]

    def elem_id(self, item: str) -> str:
        """Return an id of the page for a thing of this script."""
        tab = f"{self.tabname}_" if self.show(True) == self.show(False) else ""
        title = re.sub(r"[^a-z_0-9]", "", re.sub(r"\s", "_", self.title().lower()))
        return f"script_{tab}{title}_{item}"


class ScriptBuiltinUI(Script):
    """A script of the WebUI itself: a part of the form."""

    setup_for_ui_only = True

    def show(self, is_img2img: bool) -> Any:
        """Be always there."""
        return AlwaysVisible


class ScriptRunner:
    """The scripts of one tab."""

    def __init__(self) -> None:
        self.scripts: list[Script] = []
        self.selectable_scripts: list[Script] = []
        self.alwayson_scripts: list[Script] = []
        self.infotext_fields: list[Any] = []
        self.paste_field_names: list[str] = []
        self.inputs: list[Any] = [None]
        self.titles: list[str] = []
        self.title_map: dict[str, Script] = {}

    def initialize_scripts(self, is_img2img: bool) -> None:
        """Make this tab's scripts anew."""
        for each in (self.scripts, self.selectable_scripts, self.alwayson_scripts):
            each.clear()
        for data in scripts_data:
            script = data.script_class()
            script.filename = data.path
            script.is_img2img, script.is_txt2img = is_img2img, not is_img2img
            script.tabname = "img2img" if is_img2img else "txt2img"
            shown = script.show(is_img2img)
            if shown is AlwaysVisible:
                script.alwayson = True
                self.alwayson_scripts.append(script)
            elif shown:
                self.selectable_scripts.append(script)
            if shown:
                self.scripts.append(script)

    def prepare_ui(self) -> None:
        """Forget the arguments of an earlier page."""
        self.inputs = [None]

    def create_script_ui(self, script: Script) -> None:
        """Make one script's part of the page."""
        script.args_from = script.args_to = len(self.inputs)
        try:
            controls = script.ui(script.is_img2img)
        except Exception:
            return errors.report(f"Error calling: {script.filename}/ui", exc_info=True)
        if controls is None:
            return None
        script.controls = controls
        script.name = script.title().lower()
        self.infotext_fields += script.infotext_fields or []
        self.paste_field_names += script.paste_field_names or []
        self.inputs += controls
        script.args_to = len(self.inputs)
        return None

    def setup_ui_for_section(self, section: str | None, scripts: list[Script] | None = None) -> None:
        """Make the parts of the scripts that belong to a section."""
        for script in self.alwayson_scripts if scripts is None else scripts:
            if script.alwayson and script.section != section:
                continue
            if script.create_group:
                with gr.Group(visible=script.alwayson) as script.group:
                    self.create_script_ui(script)
            else:
                self.create_script_ui(script)

    def setup_ui(self) -> list[Any]:
        """Make the rest, and the menu of selectable scripts; return all inputs."""
        self.title_map = {each.title().lower(): each for each in self.scripts}
        self.titles = [each.title() for each in self.selectable_scripts]
        self.setup_ui_for_section(None)
        menu = gr.Dropdown(
            label="Script", elem_id="script_list", choices=["None", *self.titles], value="None", type="index"
        )
        self.inputs[0] = menu
        self.setup_ui_for_section(None, self.selectable_scripts)
        groups = [each.group for each in self.selectable_scripts]

        def chosen(index: int | None) -> Any:
            return [gr.update(visible=number == (index or 0)) for number in range(1, len(groups) + 1)]

        if groups:
            menu.change(chosen, inputs=[menu], outputs=groups)
        return self.inputs

    def run(self, p: Any, *args: Any) -> Any:
        """Let the selected script do the work; None when none is selected."""
        if not args[0]:
            return None
        script = self.selectable_scripts[args[0] - 1]
        processed = script.run(p, *args[script.args_from : script.args_to])
        shared.total_tqdm.clear()
        return processed

    def _call(self, name: str, p: Any, *more: Any) -> None:
        """Call all scripts that are always on; what raises is told on the terminal and stops nothing."""
        for script in self.alwayson_scripts:
            arguments = p.script_args[script.args_from : script.args_to]
            try:
                getattr(script, name)(p, *more, *arguments)
            except Exception:
                errors.report(f"Error running {name}: {script.filename}", exc_info=True)

    def before_process(self, p: Any) -> None:
        """Tell the scripts that the work is near."""
        self._call("before_process", p)

    def process(self, p: Any) -> None:
        """Tell the scripts that the work begins."""
        self._call("process", p)

    def postprocess(self, p: Any, processed: Any) -> None:
        """Tell the scripts that the work is done."""
        self._call("postprocess", p, processed)

    def setup_scrips(self, p: Any, *, is_ui: bool = True) -> None:
        """Let the scripts take their arguments."""
        for script in self.alwayson_scripts:
            if is_ui or not script.setup_for_ui_only:
                script.setup(p, *p.script_args[script.args_from : script.args_to])

    def before_component(self, component: Any, **named: Any) -> None:
        """Tell the scripts of a component to come."""
        for script in self.scripts:
            for elem_id, callback in script.on_before_component_elem_id or []:
                if elem_id == named.get("elem_id"):
                    callback(OnComponent(component))
            script.before_component(component, **named)

    def after_component(self, component: Any, **named: Any) -> None:
        """Tell the scripts of a component that is there."""
        for script in self.scripts:
            for elem_id, callback in script.on_after_component_elem_id or []:
                if elem_id == named.get("elem_id"):
                    callback(OnComponent(component))
            script.after_component(component, **named)

    def script(self, title: str) -> Script | None:
        """Return a script by its title."""
        return self.title_map.get(title.lower())


def basedir() -> str:
    """Return the folder of the extension whose scripts are being loaded."""
    return _folder[0]


def extension_folders() -> list[Path]:
    """Return the folders of the extensions: those that came with the WebUI, then a person's own."""
    places = [Path(paths.extensions_builtin_dir), Path(paths.extensions_dir)]
    return [each for place in places if place.is_dir() for each in sorted(place.iterdir()) if each.is_dir()]


def load_scripts() -> None:
    """Load the WebUI's own scripts, and those of all extensions."""
    scripts_data.clear()
    for folder in [Path(paths.script_path), *extension_folders()]:
        for path in sorted((folder / "scripts").glob("*.py")):
            _load(path, folder)


def _load(path: Path, folder: Path) -> None:
    """Load one file; its extension's folder is on the path just as long."""
    before, _folder[0] = list(sys.path), str(folder)
    sys.path.insert(0, str(folder))
    try:
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        _register(module, path, folder)
    except Exception:
        errors.report(f"Error loading script: {path.name}", exc_info=True)
    finally:
        sys.path[:], _folder[0] = before, paths.script_path


def _register(module: ModuleType, path: Path, folder: Path) -> None:
    for each in vars(module).values():
        if inspect.isclass(each) and issubclass(each, Script) and each not in (Script, ScriptBuiltinUI):
            scripts_data.append(ScriptClassData(each, str(path), str(folder), module))


scripts_txt2img = ScriptRunner()
scripts_img2img = ScriptRunner()
scripts_current: ScriptRunner | None = None
