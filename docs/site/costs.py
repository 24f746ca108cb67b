"""A hook of MkDocs: what stands there and costs by the month, counted in the templates."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.pages import Page
from prices import MONTHLY

FACTS = Path(__file__).parents[2] / "build" / "docs" / "facts.json"
MARK = "<!-- standing costs -->"


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Put the table in its place."""
    if MARK not in markdown:
        return markdown
    if not FACTS.exists():
        raise PluginError(f"{FACTS} is missing: build the site with `make docs`, which writes it first")
    facts = json.loads(FACTS.read_text(encoding="utf-8"))
    return markdown.replace(MARK, "\n".join(table(facts["stacks"])))


def table(stacks: list[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the table, a line for each part that can be deployed."""
    yield "| Part | What stands there | A month |"
    yield "|---|---|---|"
    for part in dict.fromkeys(part for stack in stacks for part in stack["parts"]):
        standing: Counter[str] = Counter()
        for stack in stacks:
            if part in stack["parts"]:
                standing.update(stack["standing"])
        price = sum(MONTHLY[kind][1] * count for kind, count in standing.items())
        yield f"| `{part}` | {told(standing) or 'nothing'} | {price:.2f} |"


def told(standing: Mapping[str, int]) -> str:
    """Say what stands there, the dearest first."""
    dearest = sorted(standing, key=lambda kind: -MONTHLY[kind][1] * standing[kind])
    return ", ".join(f"{MONTHLY[kind][0]}: {standing[kind]}" for kind in dearest)
