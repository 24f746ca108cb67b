"""The built site: whole, of its own, and its links lead somewhere."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import pytest

from atelier.deploy import PARTS

ROOT = Path(__file__).resolve().parents[2]
LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
MARKDOWN_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


class Document(HTMLParser):
    """What a page loads, links to, and can be linked to."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.links, self.names, self.inline = [], [], set(), 0
        self._in_script = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        told = dict(attrs)
        self.names.add(told.get("id", ""))
        if tag in LOADS and told.get(LOADS[tag]) and told.get("rel") not in {"prev", "next", "canonical"}:
            self.loads.append(told[LOADS[tag]])
        if tag == "a" and told.get("href"):
            self.links.append(told["href"])
        self._in_script = tag == "script" and "src" not in told and told.get("type") != "application/json"

    def handle_data(self, data):
        if self._in_script and data.strip():
            self.inline += 1

    def handle_endtag(self, tag):
        self._in_script = False


@pytest.fixture(scope="module")
def pages(built):
    return {
        each.relative_to(built).as_posix(): Document(each.read_text(encoding="utf-8"))
        for each in sorted(built.rglob("*.html"))
    }


def is_elsewhere(address):
    return bool(urlsplit(address).scheme or address.startswith("//")) and not address.startswith("data:")


def target(page, address):
    """The file of the site that an address means, and the place in it."""
    path, fragment = urldefrag(urljoin(f"/{page}", address))
    return unquote(path).lstrip("/") or "index.html", unquote(fragment)


def test_a_page_loads_nothing_from_elsewhere(pages):
    assert [] == [
        (page, address) for page, found in pages.items() for address in found.loads if is_elsewhere(address)
    ]


def test_styles_name_nothing_elsewhere(built):
    for each in built.rglob("*.css"):
        assert [] == re.findall(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//", each.read_text(encoding="utf-8"))


def test_no_page_has_a_script_that_the_policy_would_have_to_let_in(pages):
    assert {} == {page: found.inline for page, found in pages.items() if found.inline}


def test_what_a_page_loads_is_there(built, pages):
    for page, found in pages.items():
        for address in found.loads:
            if not address.startswith("data:"):
                assert (built / target(page, address)[0]).is_file(), f"{page} loads {address}"


def test_every_link_leads_to_a_page_and_a_place_in_it(built, pages):
    for page, found in pages.items():
        for address in found.links:
            if is_elsewhere(address):
                continue
            path, fragment = target(page, address)
            assert (built / path).is_file(), f"{page} links to {address}"
            if fragment and path.endswith(".html") and not fragment.startswith("__"):
                assert fragment in pages[path].names, f"{page} links to {address}"


def test_every_operation_of_the_api_has_its_place(pages):
    api = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))

    for methods in api["paths"].values():
        for operation in methods.values():
            page = f"reference/api/{operation['tags'][0].lower()}.html"
            assert operation["operationId"].lower() in pages[page].names


def test_what_stands_and_costs_is_counted_for_every_part(built):
    text = (built / "costs.html").read_text(encoding="utf-8")
    standing = text.partition("What stands there</th>")[2].partition("</table>")[0]
    counted = dict(re.findall(r"<td><code>(\w+)</code></td>\s*<td>([^<]*)</td>", standing))

    assert set(PARTS) - {"all"} == set(counted)
    assert "keys: 1, secrets: 1" in counted["middleware"]
    assert "interface endpoints" in counted["fleet"]
    assert "NAT gateways" not in counted["fleet"]
    assert "nothing" == counted["docs"]


def test_drawings_stand_in_the_page_and_take_its_colours(built):
    text = (built / "architecture.html").read_text(encoding="utf-8")

    assert 6 == text.count('class="drawing"')
    assert "<style>\ntext{" not in text


def test_what_makes_the_site_is_not_on_it(built):
    assert [] == [each for each in built.rglob("*") if each.suffix in {".py", ".md", ".pyc", ".gz"}]


def test_the_same_sources_make_the_same_site(built, sources):
    sources.build()

    assert {each.relative_to(sources.site): each.read_bytes() for each in files(sources.site)} == {
        each.relative_to(built): each.read_bytes() for each in files(built)
    }


def files(folder):
    return [each for each in folder.rglob("*") if each.is_file()]


def test_a_broken_link_and_a_page_in_no_menu_fail_the_build(sources):
    (sources.folder / "docs" / "stray.md").write_text(
        "# Stray\n\n[nowhere](nowhere.md) [else](start.md#no-such)\n"
    )

    code, said = sources.build()

    assert 1 == code
    assert "nowhere.md" in said
    assert "#no-such" in said
    assert re.search(r"not included.*\n.*stray\.md", said)


@pytest.mark.parametrize(
    "document",
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")],
    ids=lambda each: each.relative_to(ROOT).as_posix(),
)
def test_a_link_between_documents_of_the_repository_leads_to_a_file(document):
    text = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    for address in MARKDOWN_LINK.findall(text):
        path = urldefrag(address)[0]
        found = (document.parent / unquote(path)).resolve()
        is_generated = found.is_relative_to(ROOT / "docs" / "reference")
        if path and not is_elsewhere(address) and not is_generated:
            assert found.exists(), f"{document.name} links to {address}"
