"""Run by an image's Python: prepare texts with a shared folder, damage it, and say what happened."""

import contextlib
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

from gpt_neo import cache

TEXT = (
    "To be, or not to be, that is the question. " * 40,
    "Whether 'tis nobler in the mind to suffer. " * 40,
)


def prepared(folder: Path, shared: Path, text: tuple[str, ...] = TEXT, size: int = 300, **more: str) -> dict:
    """What came of preparing *text*: its ids, what was said, and what is kept."""
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        made = cache.prepare(text, size, scratch=scratch, shared=shared, **more)
    kept = sorted(each.suffix for each in shared.iterdir()) if shared.is_dir() else []
    return {"ids": made.ids.tolist(), "said": said.getvalue(), "kept": kept}


def damaged(folder: Path, name: str, damage: Callable[[Path, Path], object]) -> dict:
    """What came of preparing a text whose kept files were damaged."""
    shared = folder / name
    prepared(folder, shared)
    (ids,), (sidecar,) = shared.glob("*.npy"), shared.glob("*.json")
    damage(ids, sidecar)
    return prepared(folder, shared)


def many(folder: Path, shared: Path) -> dict:
    """What came of preparing more texts than are kept."""
    for number in range(cache.KEPT + 2):
        last = prepared(folder, shared, (*TEXT, str(number)))
    return last


def main(folder: Path) -> None:
    """Go through the cases."""
    shared, blocked = folder / "shared", folder / "blocked"
    blocked.write_text("a file where a folder should be")
    cases = {
        "first": prepared(folder, shared),
        "second": prepared(folder, shared),
        "known": prepared(folder, shared, known=cache.tokens.learn(TEXT, 280).to_str()),
        "other text": prepared(folder, shared, TEXT[:1]),
        "other size": prepared(folder, shared, size=290),
        "ids": damaged(folder, "ids", lambda ids, _: ids.write_bytes(ids.read_bytes()[:-2] + b"xx")),
        "sidecar": damaged(folder, "sidecar", lambda _, sidecar: sidecar.write_text("{")),
        "missing": damaged(folder, "missing", lambda ids, _: ids.unlink()),
        "blocked": prepared(folder, blocked),
        "many": many(folder, folder / "many"),
    }
    sys.stdout.write(json.dumps(cases))


main(Path(sys.argv[1]))
