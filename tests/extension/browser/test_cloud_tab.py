"""The Atelier tab, in a browser, with a middleware in memory."""

import json
import re
import struct

import pytest
from playwright.sync_api import expect
from standin_middleware import Middleware
from webui_page import ON_ONE, PRESSES, until

from atelier_webui.accounts import account

PANES = ("Jobs", "Datasets", "Training", "Merge", "Checkpoints", "Endpoints", "Users", "Accounts")


def cards(page):
    """The jobs that the page shows."""
    return page.tab.locator("[data-atelier-job]")


@pytest.fixture
def file(accounts, webui):
    """A checkpoint of a mebibyte on this computer."""
    folder = webui.data / "models" / "Stable-diffusion"
    folder.mkdir(parents=True)
    data = bytes(range(256)) * 4096
    tensor = {"t": {"dtype": "U8", "shape": [len(data)], "data_offsets": [0, len(data)]}}
    header = json.dumps(tensor).encode()
    (folder / "mine.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + data)
    return folder / "mine.safetensors"


def test_an_account_is_entered_tested_and_used_at_once(accounts, middleware, page):
    page.connect("studio", middleware.url, "token-of-anna")

    expect(page.part("atelier_accounts_message")).to_contain_text("studio is connected to Atelier, version")
    assert ["studio"] == accounts.names()
    expect(page.part("atelier_accounts_token").locator("input")).to_have_value("")
    assert "token-of-anna" not in page.tab.content()
    page.show("txt2img")
    page.switch_on()
    page.ask("a ship", seed=2)
    expect(page.infotext()).to_contain_text("Seed: 2")


@ON_ONE
@pytest.mark.parametrize(
    ("url", "token", "words"),
    [
        ("{url}", "no-token-of-anybody", "token"),
        ("http://127.0.0.1:9/", "token-of-anna", "127.0.0.1:9"),
        ("http://example.com/prod/", "token-of-anna", "https://"),
        ("nonsense", "token-of-anna", "https://"),
        ("{url}", "", "token"),
    ],
)
def test_what_does_not_connect_says_why_and_is_not_kept(url, token, words, accounts, middleware, page):
    page.connect("studio", url.format(url=middleware.url), token)

    expect(page.part("atelier_accounts_message")).to_contain_text(words)
    assert [] == accounts.names()


@ON_ONE
def test_a_middleware_of_another_version_says_what_to_update(accounts, middleware, page):
    middleware.version = "2.0.0"

    page.connect("studio", middleware.url, "token-of-anna")

    expect(page.part("atelier_accounts_message")).to_contain_text("update the extension")
    assert [] == accounts.names()


@ON_ONE
def test_an_account_that_is_added_again_is_said_to_have_a_new_token(anna, accounts, page):
    page.connect("anna's cloud", anna.url, "token-of-ben")

    expect(page.part("atelier_accounts_message")).to_contain_text("with its new token")
    assert ["token-of-ben"] == [each.token for each in accounts.all()]


def test_an_account_is_removed_when_one_is_sure(anna, accounts, page):
    page.pane("Accounts")
    page.choose("atelier_accounts_chosen", "anna's cloud")

    page.part("atelier_accounts_remove").click()

    expect(page.part("atelier_accounts_message")).to_contain_text("anna's cloud is forgotten here")
    assert [] == accounts.names()


def test_jobs_are_sent_without_waiting_and_seen_cancelled_and_tried_again(anna, page):
    page.switch_on()
    page.tick("atelier_txt2img_wait", on=False)
    for _ in range(2):
        page.ask("a slow ship")
        expect(page.told()).to_contain_text("Queued on anna's cloud")
        page.idle()
    page.pane("Jobs")
    page.choose("atelier_account", "anna's cloud")
    expect(cards(page)).to_have_count(2)

    cards(page).first.click()
    expect(page.part("atelier_job_message")).to_contain_text("inprogress")
    page.part("atelier_job_cancel").click()
    expect(page.part("atelier_jobs")).to_contain_text("cancelled")
    assert ["inprogress", "cancelled"] == anna.statuses()

    page.part("atelier_job_retry").click()
    expect(page.part("atelier_job_message")).to_contain_text("Asked again")
    expect(cards(page)).to_have_count(3)
    anna.finish()
    expect(page.part("atelier_jobs")).to_contain_text("succeeded")
    assert ["succeeded", "cancelled", "succeeded"] == anna.statuses()


@ON_ONE
def test_a_job_that_failed_says_why(anna, page):
    page.switch_on()
    page.tick("atelier_txt2img_wait", on=False)
    page.ask("fail")
    page.pane("Jobs")
    expect(page.part("atelier_jobs")).to_contain_text("failed")

    cards(page).first.click()

    expect(page.part("atelier_job_message")).to_contain_text("no such picture")


def test_a_cloud_that_does_not_answer_is_not_asked_again_and_again(anna, page):
    page.switch_on()
    page.tick("atelier_txt2img_wait", on=False)
    page.ask("a slow ship")
    expect(page.told()).to_contain_text("Queued on anna's cloud")
    page.pane("Jobs")
    expect(page.part("atelier_jobs")).to_contain_text("inprogress")

    with anna.lock:
        assert 2 >= page.tab.evaluate(PRESSES, "atelier_jobs_refresh")

    anna.finish()
    expect(page.part("atelier_jobs")).to_contain_text("succeeded")


def test_a_finished_job_is_saved_and_its_parameters_are_used_again(anna, page, webui):
    page.switch_on()
    page.ask("a castle", seed=11, steps=9)
    expect(page.infotext()).to_contain_text("Seed: 11")
    before = len(webui.pictures)
    page.pane("Jobs")
    page.choose("atelier_account", "anna's cloud")
    cards(page).first.click()
    expect(page.part("atelier_job_infotext").locator("textarea")).to_have_value(re.compile("a castle"))

    page.part("atelier_job_save").click()
    expect(page.part("atelier_job_message")).to_contain_text("Saved")
    assert before + 1 == len(webui.pictures)

    page.show("txt2img")
    page.write("txt2img_prompt", "")
    page.pane("Jobs")
    page.part("atelier_job_send_txt2img").click()
    expect(page.part("txt2img_prompt").locator("textarea")).to_have_value("a castle")
    expect(page.part("txt2img_seed").locator("input")).to_have_value("11")


def test_a_checkpoint_is_uploaded_used_renamed_and_deleted(anna, page, file):
    page.pane("Checkpoints")
    page.choose("atelier_account", "anna's cloud")
    page.part("atelier_checkpoints_refresh").click()
    page.choose("atelier_upload_files", file.name)

    page.part("atelier_upload_start").click()
    expect(page.part("atelier_upload_progress")).to_contain_text("It is in the cloud")
    assert file.read_bytes() == anna.objects[file.name]
    expect(page.part("atelier_checkpoints")).to_contain_text(file.name)

    page.show("txt2img")
    page.switch_on()
    page.choose("atelier_txt2img_checkpoint", file.name)
    page.ask("a ship", seed=2)
    expect(page.infotext()).to_contain_text("Seed: 2")
    (job,) = anna.jobs.values()
    assert [{"model_name": file.name}] == job["params"]["used_models"]["Stable-diffusion"]

    page.pane("Checkpoints")
    page.choose("atelier_checkpoints_chosen", "mine")
    page.write("atelier_checkpoints_name", "better")
    page.part("atelier_checkpoints_rename").click()
    expect(page.part("atelier_checkpoints")).to_contain_text("better.safetensors")
    page.choose("atelier_checkpoints_chosen", "better")
    page.part("atelier_checkpoints_delete").click()
    expect(page.part("atelier_checkpoints_told")).to_contain_text("is deleted")
    assert ["tiny.safetensors"] == [name for each in anna.checkpoints.values() for name in each["name"]]


def test_endpoints_are_seen_made_and_deleted(anna, page):
    page.pane("Endpoints")
    page.choose("atelier_account", "anna's cloud")
    page.refresh("endpoints", "sd-async-anna")
    page.part("atelier_endpoints_new").locator(".label-wrap").first.click()
    page.write("atelier_endpoints_name", "fresh")
    page.write("atelier_endpoints_roles", "artist")

    page.part("atelier_endpoints_create").click()

    expect(page.part("atelier_endpoints")).to_contain_text("sd-async-fresh")
    expect(page.part("atelier_endpoints")).to_contain_text("Creating")
    page.choose("atelier_endpoints_chosen", "sd-async-fresh")
    page.part("atelier_endpoints_delete").click()
    expect(page.part("atelier_endpoints_told")).to_contain_text("sd-async-fresh is being deleted")
    assert ["sd-async-anna"] == list(anna.endpoints)


def test_another_account_shows_what_is_in_its_own_cloud(anna, accounts, page):
    ben = Middleware()
    try:
        ben.endpoint("ben")
        accounts.add(account("ben's cloud", ben.url, "token-of-ben"))
        page.tab.evaluate("atelierReloadAccounts()")
        page.pane("Endpoints")
        expect(page.part("atelier_endpoints")).to_contain_text("sd-async-anna")
        expect(page.part("atelier_endpoints")).not_to_contain_text("sd-async-ben")

        with anna.lock:  # the list of the first is on its way
            page.part("atelier_endpoints_refresh").click()
            page.choose("atelier_account", "ben's cloud")

        expect(page.part("atelier_endpoints")).to_contain_text("sd-async-ben")
    finally:
        ben.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everything_can_be_read_at_1280_points_in_both_themes(theme, anna, opened):
    page = opened(theme)
    assert ("dark" == theme) == page.tab.evaluate("document.body.classList.contains('dark')")
    for pane in PANES:
        page.pane(pane)
        wide = page.tab.evaluate("document.scrollingElement.scrollWidth")
        assert 1280 >= wide, pane
    page.part("atelier_accounts_test").click()
    shown = page.part("atelier_accounts").locator("td").first
    text, ground = json.loads(until(lambda: shown.evaluate(COLOURS)))
    assert 4.5 <= contrast(text, ground)


def test_the_accordion_is_reached_and_switched_on_by_the_keyboard(anna, page):
    page.part("txt2img_generate").focus()
    for _ in range(60):
        page.tab.keyboard.press("Tab")
        if page.tab.evaluate("!!document.activeElement.closest('#atelier_txt2img_accordion')"):
            break
    page.tab.keyboard.press("Enter")
    expect(page.part("atelier_txt2img_enabled")).to_be_visible()
    page.tab.keyboard.press("Tab")
    page.tab.keyboard.press("Space")
    expect(page.part("atelier_txt2img_status")).to_contain_text("in service")


COLOURS = """
element => {
    if (!element.isConnected) return "";  // gradio has just put another in its place
    const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
    let ground = [255, 255, 255];
    for (let each = element; each; each = each.parentElement) {
        const found = numbers(getComputedStyle(each).backgroundColor);
        if (found.length < 4 || found[3] > 0.9) { ground = found.slice(0, 3); break; }
    }
    return JSON.stringify([numbers(getComputedStyle(element).color).slice(0, 3), ground]);
}
"""


def contrast(first, second):
    """Return the contrast of two colours, as WCAG 2 has it."""

    def luminance(colour):
        parts = [each / 255 for each in colour]
        linear = [each / 12.92 if each <= 0.03928 else ((each + 0.055) / 1.055) ** 2.4 for each in parts]
        return sum(part * weight for part, weight in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))

    bright, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)
