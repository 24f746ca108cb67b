"""A hook of MkDocs: pages that hold what they show, and run no script that a policy would have to let in."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

DRAWING = re.compile(r'<img alt="([^"]*)" src="([^"]+\.svg)"\s*/?>')
SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
ELSEWHERE = re.compile(
    r'<(?:script|img|iframe|link rel="(?:stylesheet|preconnect|icon)")[^>]*(?:src|href)="(?:https?:)?//'
)
STYLE = re.compile(r"<style>.*?</style>", re.DOTALL)
MARKED = (("arrow", "marker-end", "tip"), ("back", "marker-start", "tail"))
SCRIPTS = "assets/javascripts"


def on_page_content(html: str, *, page: Page, config: MkDocsConfig, **_: Any) -> str:
    """Put drawings into the page itself, where they take its colours; wide ones scroll on a small screen."""

    def drawn(found: re.Match[str]) -> str:
        alt, source = found.groups()
        path = (Path(config.docs_dir) / page.file.dest_uri).parent / source
        svg = path.resolve().read_text(encoding="utf-8").partition("<svg")[2]
        name = hashlib.sha256(source.encode()).hexdigest()[:6]
        svg = STYLE.sub("", svg)
        for kind, end, marker in MARKED:
            svg = svg.replace(f'class="{kind}"', f'class="{kind}" {end}="url(#{marker})"')
        svg = re.sub(r'\b(id="|url\(#)', rf"\g<1>d{name}-", svg)
        return f'<span class="drawing" role="img" aria-label="{alt}" tabindex="0"><svg{svg}</span>'

    return DRAWING.sub(drawn, html)


def on_post_page(output: str, *, page: Page, config: MkDocsConfig) -> str:
    """Give every script a file of its own, named by its content."""
    return _without_inline_scripts(output, page.url, config, page.file.src_uri)


def on_post_template(output: str, *, template_name: str, config: MkDocsConfig) -> str:
    """Do the same for pages that no Markdown stands behind, as the one for what is not there."""
    if not template_name.endswith(".html"):
        return output
    return _without_inline_scripts(output, None, config, template_name)


def on_post_build(*, config: MkDocsConfig) -> None:
    """Remove the map of the site, which is empty: the site does not know its own address."""
    for name in ("sitemap.xml", "sitemap.xml.gz"):
        (Path(config.site_dir) / name).unlink(missing_ok=True)


def _without_inline_scripts(output: str, url: str | None, config: MkDocsConfig, name: str) -> str:
    def kept(found: re.Match[str]) -> str:
        content = found[1]
        path = f"{SCRIPTS}/page.{hashlib.sha256(content.encode()).hexdigest()[:8]}.min.js"
        target = Path(config.site_dir) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8")
        return f'<script src="{get_relative_url(path, url) if url is not None else "/" + path}"></script>'

    rendered = SCRIPT.sub(kept, output)
    if found := ELSEWHERE.search(rendered):
        raise PluginError(f"{name} loads something from elsewhere: {found[0]}")
    return rendered
