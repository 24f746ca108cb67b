"""Take out of notebooks what no commit should hold: outputs, counts, and what an editor noted of itself."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

KERNEL = {"display_name": "Atelier", "language": "python", "name": "atelier"}


def main(arguments: Sequence[str]) -> int:
    """Clear the notebooks that are named; all of this folder without any."""
    for path in [Path(each) for each in arguments] or sorted(Path(__file__).parent.glob("*.ipynb")):
        before = path.read_text(encoding="utf-8")
        after = cleared(before)
        if before != after:
            path.write_text(after, encoding="utf-8")
            sys.stdout.write(f"{path.name}: cleared\n")
    return 0


def cleared(text: str) -> str:
    """Return a notebook's file without what is not source."""
    document: dict[str, Any] = json.loads(text)
    for number, cell in enumerate(document["cells"], start=1):
        tags = cell["metadata"].get("tags")
        cell.update(id=f"cell-{number}", metadata={"tags": tags} if tags else {})
        if cell["cell_type"] == "code":
            cell.update(outputs=[], execution_count=None)
    document["metadata"] = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    return json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
