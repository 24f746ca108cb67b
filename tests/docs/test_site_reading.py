"""Reading the site in a browser, through the local CloudFront."""

import re

import pytest

WIDE, SMALL = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
PAGES = [
    "index",
    "start",
    "extension",
    "architecture",
    "costs",
    "reference/commands",
    "reference/api/trainings",
]


class Reader:
    """A tab that remembers what went wrong in it."""

    def __init__(self, tab, url):
        self.tab, self.url, self.wrong = tab, url, []
        tab.on("console", lambda message: message.type == "error" and self.wrong.append(message.text))
        tab.on("pageerror", lambda error: self.wrong.append(str(error)))
        tab.on("requestfailed", lambda request: self.wrong.append(request.url))

    def go(self, page):
        return self.tab.goto(f"{self.url}{page}")

    def text(self, selector="h1"):
        return self.tab.locator(selector).first.inner_text()


@pytest.fixture
def opened(browser, published):
    contexts = []

    def open_tab(viewport=WIDE, colours="light"):
        contexts.append(browser.new_context(viewport=viewport, color_scheme=colours))
        return Reader(contexts[-1].new_page(), published)

    yield open_tab
    for each in contexts:
        each.close()


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("viewport", [WIDE, SMALL], ids=["wide", "small"])
def test_pages_are_readable(opened, viewport, colours):
    reader = opened(viewport, colours)
    for page in PAGES:
        assert 200 == reader.go(f"{page}.html").status
        assert reader.text()
        width = reader.tab.evaluate("document.documentElement.scrollWidth")
        assert viewport["width"] >= width, f"{page} is wider than the screen"
        scheme = reader.tab.evaluate("document.body.dataset.mdColorScheme")
        assert {"light": "default", "dark": "slate"}[colours] == scheme

    assert [] == reader.wrong


def test_a_reader_finds_the_way_by_the_menu_and_the_search(opened):
    reader = opened()
    reader.go("")
    reader.tab.get_by_role("link", name="Operators", exact=True).first.click()
    assert "For operators" in reader.text()

    reader.tab.get_by_role("textbox", name="Search").click()
    reader.tab.keyboard.type("workstation")
    reader.tab.locator(".md-search-result__link").first.click()

    assert re.search("(?i)workstation", reader.text("article"))
    assert [] == reader.wrong


def test_who_likes_the_dark_keeps_it(opened):
    reader = opened()
    reader.go("start.html")
    reader.tab.locator("label[title='Use the dark colours']").click()
    reader.go("costs.html")

    assert "slate" == reader.tab.evaluate("document.body.dataset.mdColorScheme")


def test_what_is_not_there_is_said_in_our_own_words(opened):
    reader = opened()

    assert 404 == reader.go("no/such/page.html").status
    assert "There is no such page" == reader.text()
    reader.tab.get_by_role("link", name="Troubleshooting").first.click()
    assert "Troubleshooting" in reader.text()


def test_a_script_that_is_not_ours_does_not_run(opened):
    reader = opened()
    reader.go("start.html")

    reader.tab.evaluate(
        "() => { const made = document.createElement('script'); made.textContent = 'window.ran = 1';"
        " document.body.append(made); }"
    )

    assert reader.tab.evaluate("window.ran") is None
    assert any("Content Security Policy" in each for each in reader.wrong)
