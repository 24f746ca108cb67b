"""Pictures, on the disk."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

_naming = threading.Lock()


def save_image(
    image: Any,
    path: str,
    basename: str,
    seed: Any = None,
    prompt: str | None = None,
    extension: str = "png",
    info: str | None = None,
    short_filename: bool = False,
    no_prompt: bool = False,
    grid: bool = False,
    pnginfo_section_name: str = "parameters",
    p: Any = None,
    existing_info: dict[str, Any] | None = None,
    forced_filename: str | None = None,
    suffix: str = "",
    save_to_dirs: bool | None = None,
) -> tuple[str, str | None]:
    """Keep a picture with its infotext under the next free number; return its path."""
    folder = Path(path)
    with _naming:
        folder.mkdir(parents=True, exist_ok=True)
        number = len([each for each in folder.iterdir() if each.suffix == f".{extension}"])
        name = forced_filename or "-".join(filter(None, [basename, f"{number:05}", str(seed or "")])) + suffix
        target = folder / f"{name}.{extension}"
        told = PngInfo()
        for key, value in {**(existing_info or {}), **({pnginfo_section_name: info} if info else {})}.items():
            if isinstance(value, str):
                told.add_text(key, value)
        image.save(target, pnginfo=told)
    image.already_saved_as = str(target)
    return str(target), None


def image_grid(imgs: list[Any], batch_size: int = 1, rows: int | None = None) -> Any:
    """Put pictures into one."""
    grid = Image.new("RGB", (sum(each.width for each in imgs), max(each.height for each in imgs)))
    left = 0
    for each in imgs:
        grid.paste(each, (left, 0))
        left += each.width
    return grid


def read_info_from_image(image: Any) -> tuple[str | None, dict[str, Any]]:
    """Return a picture's infotext, and what else it says."""
    told = dict(image.info or {})
    return told.pop("parameters", None), told
