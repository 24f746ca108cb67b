"""Generate, in a browser, with a middleware in memory."""

import json
import sys
import unicodedata
import urllib.request

from PIL import Image
from playwright.sync_api import expect
from standin_middleware import colour
from webui_page import ON_ONE, until

from atelier_webui.accounts import account

MARKUP = '<b>&amp;</b> (weight:1.2) "quoted" back\\slash, Steps: none'


def test_a_picture_of_the_cloud_comes_into_the_gallery_and_to_the_disk(anna, page, webui):
    page.switch_on()

    page.ask("a lighthouse", seed=7)

    expect(page.infotext()).to_contain_text("Seed: 7")
    picture = page.pictures()[0]
    assert (64, 64) == picture.size
    assert colour({"prompt": "a lighthouse"}, 7) == picture.convert("RGB").getpixel((5, 5))
    (saved,) = webui.pictures
    assert "txt2img-images" in saved.parts
    with Image.open(saved) as kept:
        assert picture.tobytes() == kept.tobytes()
        assert kept.info["parameters"] == page.infotext().inner_text()
    assert [] == page.errors


def test_a_batch_comes_with_its_grid_and_every_picture_is_saved(anna, page, webui):
    page.switch_on()

    page.ask("three boats", seed=3, batch_count=3)

    expect(page.infotext()).to_contain_text("three boats")
    until(lambda: len(webui.pictures) == 4)
    assert 3 == len([each for each in webui.pictures if "txt2img-images" in each.parts])
    (job,) = anna.jobs.values()
    assert (3, 3) == (job["asked"]["n_iter"] * job["asked"]["batch_size"], len(job["image_names"]))


def blocks():
    """Return a letter, a mark or a sign of every 128 characters of Unicode that have one."""
    for start in range(0, sys.maxunicode, 128):
        found = (
            chr(each) for each in range(start, start + 128) if unicodedata.category(chr(each))[0] in "LNSPM"
        )
        yield next(found, "")


def test_a_prompt_of_every_block_comes_back_as_it_was_written(anna, page):
    page.switch_on()
    prompt = f"{''.join(blocks())}\n{MARKUP}"

    page.ask(prompt, seed=1)

    expect(page.infotext()).to_contain_text("Seed: 1")
    (job,) = anna.jobs.values()
    assert prompt == job["asked"]["prompt"]
    assert page.pictures()[0].info["parameters"].startswith(prompt)


def test_interrupt_cancels_the_job_and_the_next_one_works(anna, page):
    page.switch_on()
    page.ask("a slow ship")
    until(lambda: anna.statuses() == ["inprogress"])

    page.part("txt2img_interrupt").click()

    page.idle()
    until(lambda: anna.statuses() == ["cancelled"])
    page.ask("a ship", seed=2)
    expect(page.infotext()).to_contain_text("Seed: 2")


def test_interrupt_before_the_job_is_known_leaves_nothing_running(anna, page):
    page.switch_on()
    with anna.lock:  # nothing is answered
        page.ask("a slow ship")
        expect(page.tab.locator(".progressDiv")).to_contain_text("Asking the cloud")
        page.part("txt2img_interrupt").click()
        page.idle()

    until(lambda: set(anna.statuses()) <= {"cancelled"})


@ON_ONE
def test_a_connection_that_is_cut_while_waiting_is_taken_up_again(anna, page):
    page.switch_on()
    page.ask("a slow ship", seed=4)
    until(lambda: anna.times("GetInferenceJob"))

    anna.cuts = 3
    until(lambda: not anna.cuts)
    anna.finish()

    expect(page.infotext()).to_contain_text("Seed: 4")


@ON_ONE
def test_a_job_that_fails_says_why_in_the_result_pane(anna, page):
    page.switch_on()

    page.ask("please fail")

    expect(page.told()).to_contain_text("no such picture")
    page.ask("a ship", seed=2)
    expect(page.infotext()).to_contain_text("Seed: 2")


@ON_ONE
def test_an_answer_that_is_no_picture_is_told_and_nothing_is_saved(anna, page, webui):
    page.switch_on()

    page.ask("a page of a book")

    expect(page.told()).to_contain_text("image")
    assert [] == webui.pictures


@ON_ONE
def test_a_token_that_was_revoked_is_told_in_plain_words(anna, page):
    page.switch_on()
    anna.tokens.clear()

    page.ask("a ship")

    expect(page.told()).to_contain_text("token")
    assert {} == anna.jobs


@ON_ONE
def test_a_middleware_that_is_gone_is_told_and_the_page_goes_on(anna, page):
    page.switch_on()
    anna.close()

    page.ask("a ship")

    expect(page.told()).to_contain_text(anna.url.removeprefix("http://").strip("/"))
    page.idle()


@ON_ONE
def test_an_endpoint_deleted_meanwhile_is_told_by_the_middleware(anna, page):
    page.switch_on()
    anna.endpoints.clear()

    page.ask("a ship")

    expect(page.told()).to_contain_text("no available Async endpoints")


def test_a_script_that_the_cloud_cannot_run_is_refused_by_name(anna, page):
    page.switch_on()
    page.choose("tab_txt2img #script_list", "Prompt matrix")

    page.ask("a ship")

    expect(page.told()).to_contain_text("Prompt matrix")
    assert {} == anna.jobs


def test_with_the_accordion_off_the_picture_is_made_here_and_nothing_is_asked(anna, page, webui):
    page.ask("a ship", seed=16)

    expect(page.infotext()).to_contain_text("Version: stand-in")
    assert (0, 0, 16) == page.pictures()[0].convert("RGB").getpixel((0, 0))
    assert {} == anna.jobs


def test_two_people_with_two_accounts_each_get_their_own(accounts, middleware, opened):
    accounts.add(account("anna", middleware.url, "token-of-anna"))
    accounts.add(account("ben", middleware.url, "token-of-ben"))
    first, second = opened(), opened()
    first.switch_on()
    second.switch_on()
    second.choose("atelier_txt2img_account", "ben")
    expect(second.part("atelier_txt2img_status")).to_contain_text("ben")

    first.ask("a slow ship", seed=5)
    until(lambda: middleware.statuses() == ["inprogress"])
    second.ask("a castle", seed=6)
    middleware.finish()

    expect(first.infotext()).to_contain_text("a slow ship")
    expect(second.infotext()).to_contain_text("a castle")
    assert ["anna", "ben"] == [each["user"] for each in middleware.jobs.values()]
    assert colour({"prompt": "a castle"}, 6) == second.pictures()[0].convert("RGB").getpixel((0, 0))


@ON_ONE
def test_the_token_is_nowhere_but_in_the_file_of_its_owner(anna, page, webui):
    page.switch_on()
    page.ask("a ship", seed=8)
    expect(page.infotext()).to_contain_text("Seed: 8")

    with urllib.request.urlopen(f"{webui.url}/config") as answer:
        config = answer.read().decode()
    for text in (page.tab.content(), config, webui.log, str(page.pictures()[0].info)):
        assert "token-of-anna" not in text
    holding = [
        each
        for each in webui.data.rglob("*")
        if each.is_file() and each.suffix != ".pyc" and b"token-of-anna" in each.read_bytes()
    ]
    assert [webui.data / "atelier" / "accounts.json"] == holding
    assert 0o600 == holding[0].stat().st_mode & 0o777


def test_a_picture_goes_on_to_img2img_and_is_worked_on_in_the_cloud(anna, page):
    page.switch_on()
    page.ask("a ship", seed=8)
    expect(page.infotext()).to_contain_text("Seed: 8")

    page.part("txt2img_send_to_img2img").click()
    expect(page.part("img2img_prompt").locator("textarea")).to_have_value("a ship")
    page.switch_on("img2img")
    page.ask("a better ship", tab="img2img", seed=9)

    expect(page.infotext("img2img")).to_contain_text("a better ship")
    assert ["txt2img", "img2img"] == [each["taskType"] for each in anna.jobs.values()]
    assert 1 == len([*anna.jobs.values()][1]["asked"]["init_images"])


def test_a_program_reaches_the_cloud_by_the_api(anna, webui):
    asked = {"prompt": "a ship", "seed": 3, "width": 64, "height": 64}
    asked["alwayson_scripts"] = {"Atelier": {"args": [True, "anna's cloud"]}}
    asked["script_name"] = "Generate on Atelier"

    request = urllib.request.Request(
        f"{webui.url}/sdapi/v1/txt2img", json.dumps(asked).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        told = json.load(answer)

    assert ["a ship"] == json.loads(told["info"])["all_prompts"]
    assert 1 == len(anna.jobs)
