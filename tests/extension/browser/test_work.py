"""Datasets, trainings and merges, in a browser, with a middleware in memory."""

import pytest
from PIL import Image
from playwright.sync_api import expect
from webui_page import ON_ONE, PRESSES, until


def cards(page, of):
    """The cards of a kind."""
    return page.tab.locator(f"[data-atelier-{of}]")


def opened(page, name):
    """Open a pane and an account in it."""
    page.pane(name)
    page.choose("atelier_account", "anna's cloud")
    return page


def unfold(page, id):
    """Open an accordion."""
    page.part(id).locator(".label-wrap").first.click()


@pytest.fixture
def folder(tmp_path):
    """Three images, two captions, and something that does not belong there."""
    made = tmp_path / "pictures"
    made.mkdir()
    for number, colour in enumerate(("red", "lime", "blue"), start=1):
        Image.new("RGB", (64, 64), colour).save(made / f"{colour}.png")
        if number < 3:
            (made / f"{colour}.txt").write_text(f"a {colour} <b>square</b>")
    (made / "notes.pdf").write_bytes(b"%PDF")
    return made


def test_a_folder_becomes_a_dataset_that_is_seen_cropped_and_deleted(anna, page, folder):
    opened(page, "Datasets")
    unfold(page, "atelier_dataset_new")
    page.write("atelier_dataset_name", "squares")
    page.part("atelier_dataset_files").locator("input[type=file]").set_input_files(folder)
    expect(page.part("atelier_dataset_found")).to_contain_text(
        "3 images, 2 with a caption. Without: blue.png. Left out: notes.pdf."
    )
    page.part("atelier_dataset_upload").click()
    expect(page.part("atelier_dataset_progress")).to_contain_text("It is in the cloud")
    assert (folder / "red.png").read_bytes() == anna.objects["squares/red.png"]
    assert b"a red <b>square</b>" == anna.objects["squares/red.txt"]
    assert "Enabled" == anna.datasets["squares"]["status"]

    cards(page, "dataset").first.click()
    album = page.part("atelier_dataset_album")
    expect(album.locator("img")).to_have_count(3)
    expect(album).to_contain_text("a red <b>square</b>")
    page.part("atelier_dataset_crop").click()
    expect(page.part("atelier_datasets")).to_contain_text("squares_512x512")
    expect(page.part("atelier_datasets")).to_contain_text("cropping")
    anna.finish_work()
    expect(page.part("atelier_datasets")).not_to_contain_text("cropping")

    page.part("atelier_dataset_delete").click()
    expect(page.part("atelier_dataset_told")).to_contain_text("squares is deleted")
    expect(cards(page, "dataset")).to_have_count(1)


def test_a_folder_that_is_slow_to_arrive_arrives_though_the_page_goes_on(anna, page, folder):
    opened(page, "Datasets")
    unfold(page, "atelier_dataset_new")
    line = page.tab.context.new_cdp_session(page.tab)
    slow = {"offline": False, "latency": 2000, "downloadThroughput": -1, "uploadThroughput": -1}
    line.send("Network.emulateNetworkConditions", slow)
    page.part("atelier_dataset_files").locator("input[type=file]").set_input_files(folder)
    sending = page.part("atelier_dataset_files").get_by_role("status")
    expect(sending).to_contain_text("6 files are on their way")
    page.part("atelier_datasets_refresh").click()
    expect(page.part("atelier_dataset_found")).to_contain_text("3 images, 2 with a caption")
    expect(sending).to_have_count(0)


def test_what_is_chosen_stays_when_the_account_is_told_again(anna, page):
    anna.dataset("squares", red__png=anna.paint("red"))
    opened(page, "Datasets")
    cards(page, "dataset").first.click()
    album = page.part("atelier_dataset_album").locator("figure")
    expect(album).to_have_count(1)
    listed = anna.times("ListDatasets")

    page.choose("atelier_account", "anna's cloud")
    page.tab.evaluate("atelierReloadAccounts()")
    refresh = page.part("atelier_datasets_refresh")  # what is pressed while it loads is lost

    until(lambda: refresh.click() or anna.times("ListDatasets") > listed, pause=0.5)
    page.part("atelier_dataset_disable").click()
    expect(page.part("atelier_dataset_told")).to_contain_text("squares is Disabled")
    expect(album).to_have_count(1)


@ON_ONE
def test_an_image_that_is_none_says_so_in_its_place_and_a_long_dataset_goes_on(anna, page):
    anna.page_of_files = 60
    files = {f"a{number:03}__png": anna.paint("red") for number in range(100)}
    anna.dataset("many", **{**files, "a001__png": b"<html>no picture", "a002__png": b"\x89PNG cut off"})
    opened(page, "Datasets")
    cards(page, "dataset").first.click()
    album = page.part("atelier_dataset_album")
    expect(album.locator("figure")).to_have_count(48)
    expect(album.locator("figure").nth(1)).to_contain_text("this is no image")
    expect(album.locator("figure").nth(2)).to_contain_text("This image cannot be shown")

    for count, first in ((12, "a048.png"), (40, "a060.png")):
        page.part("atelier_dataset_more").click()
        expect(album.locator("figure").first).to_contain_text(first)
        expect(album.locator("figure")).to_have_count(count)
    expect(page.part("atelier_dataset_more")).to_be_hidden()


@ON_ONE
def test_what_cannot_become_a_dataset_says_why(anna, page, tmp_path):
    opened(page, "Datasets")
    unfold(page, "atelier_dataset_new")
    (tmp_path / "only.txt").write_text("a caption of nothing")
    page.part("atelier_dataset_files").locator("input[type=file]").set_input_files(tmp_path)
    expect(page.part("atelier_dataset_found")).to_contain_text("There is no image in the folder")

    page.part("atelier_dataset_upload").click()

    expect(page.part("atelier_dataset_progress")).to_contain_text("There is no image in the folder")
    assert {} == anna.datasets


def test_a_lora_is_trained_watched_and_then_on_the_shelf(anna, page):
    anna.dataset("squares", red__png=anna.paint("red"))
    opened(page, "Training")
    page.choose("atelier_training_model", "tiny.safetensors")
    page.choose("atelier_training_dataset", "squares")
    page.write("atelier_training_name", "slow-ink")
    page.write("atelier_training_epochs", 3)
    page.part("atelier_training_begin").click()
    expect(page.part("atelier_training_said")).to_contain_text("The training of slow-ink begins")
    (training,) = anna.trainings.values()
    config = training["params"]["config_params"]
    assert ("slow-ink", 3, 16, 1e-4, True) == (
        config["output_name"],
        config["max_train_epochs"],
        config["network_dim"],
        config["unet_lr"],
        config["network_train_unet_only"],
    )

    detail = page.part("atelier_training_detail")
    expect(detail).to_contain_text("InProgress")
    expect(detail.locator("svg polyline").last).to_be_visible()
    expect(detail).to_contain_text("step 4")
    anna.finish_work()
    expect(detail).to_contain_text("slow-ink.safetensors is in the cloud")
    expect(detail.locator("img")).to_have_count(1)
    expect(cards(page, "training").first.locator("img")).to_have_count(1)

    page.show("txt2img")
    page.switch_on()
    unfold(page, "atelier_txt2img_networks")
    expect(page.part("atelier_shelf_txt2img_pane").locator(".atelier-card img")).to_have_count(1)


@ON_ONE
def test_a_training_that_failed_says_why_and_one_that_goes_on_is_stopped_and_deleted(anna, page):
    anna.dataset("squares", red__png=anna.paint("red"))
    opened(page, "Training")
    page.choose("atelier_training_model", "tiny.safetensors")
    page.choose("atelier_training_dataset", "squares")
    for name in ("fail", "slow"):
        page.write("atelier_training_name", name)
        page.part("atelier_training_begin").click()
        expect(page.part("atelier_training_said")).to_contain_text(f"The training of {name} begins")
    expect(cards(page, "training")).to_have_count(2)

    cards(page, "training").last.click()
    expect(page.part("atelier_training_detail")).to_contain_text("a.png is no image, nor is any other")
    cards(page, "training").first.click()
    expect(page.part("atelier_training_detail")).to_contain_text("slow: InProgress")
    unfold(page, "atelier_training_log_of")
    expect(page.part("atelier_training_log").locator("textarea")).to_have_value("slow begins")
    page.part("atelier_training_stop").click()
    expect(page.part("atelier_training_detail")).to_contain_text("slow: Stopped")
    page.part("atelier_training_delete").click()
    expect(cards(page, "training")).to_have_count(1)
    assert ["fail"] == [each["output"] for each in anna.trainings.values()]


def test_a_training_that_begins_while_the_list_is_on_its_way_is_listed(anna, page):
    anna.dataset("squares", red__png=anna.paint("red"))
    opened(page, "Training")
    page.choose("atelier_training_model", "tiny.safetensors")
    page.choose("atelier_training_dataset", "squares")
    anna.on_the_way["ListTrainings"] = 3
    for name in ("fail", "fail-again"):
        page.write("atelier_training_name", name)
        page.part("atelier_training_begin").click()
        expect(page.part("atelier_training_said")).to_contain_text(f"The training of {name} begins")

    expect(cards(page, "training")).to_have_count(2)


def test_what_is_chosen_while_another_is_on_its_way_is_shown(anna, page):
    for each in ("circles", "squares"):
        anna.dataset(each, red__png=anna.paint("red"))
    opened(page, "Datasets")
    expect(cards(page, "dataset")).to_have_count(2)
    anna.on_the_way["GetDataset"] = 2

    cards(page, "dataset").first.click()
    page.tab.wait_for_timeout(500)
    cards(page, "dataset").last.click()

    expect(page.part("atelier_dataset_told")).to_contain_text("squares: Enabled")
    expect(page.part("atelier_dataset_told")).to_contain_text("circles: Enabled")


@ON_ONE
def test_what_the_cloud_refuses_to_show_is_not_asked_for_again_and_again(anna, page):
    anna.dataset("squares", red__png=anna.paint("red"))
    opened(page, "Training")
    page.choose("atelier_training_model", "tiny.safetensors")
    page.choose("atelier_training_dataset", "squares")
    for number, name in enumerate(("fail", "fail-again"), start=1):
        page.write("atelier_training_name", name)
        page.part("atelier_training_begin").click()
        expect(cards(page, "training")).to_have_count(number)
    expect(page.part("atelier_training_detail")).to_contain_text("fail-again: Failed")

    anna.tokens.clear()
    cards(page, "training").last.click()

    expect(page.part("atelier_training_told")).to_contain_text("Forbidden")
    assert 1 >= page.tab.evaluate(PRESSES, "atelier_training_show")


@ON_ONE
def test_a_list_that_comes_anew_leaves_the_focus_and_what_is_in_sight(anna, page):
    anna.dataset("squares", red__png=anna.paint("red"))
    opened(page, "Datasets")
    cards(page, "dataset").first.focus()
    page.tab.set_viewport_size({"width": 1280, "height": 300})
    page.tab.evaluate("scrollTo(0, document.body.scrollHeight)")
    where = page.tab.evaluate("scrollY")
    assert cards(page, "dataset").first.bounding_box()["y"] < 0

    anna.dataset("circles")
    page.tab.evaluate("atelierPress('atelier_datasets_refresh')")

    expect(cards(page, "dataset")).to_have_count(2)
    expect(cards(page, "dataset").filter(has_text="squares")).to_be_focused()
    assert where == page.tab.evaluate("scrollY")


@ON_ONE
@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("name", "", "Choose a name first"),
        ("rate", "fast", "The learning rate must be a number such as 1e-4, not 'fast'"),
        ("more", "cosine", "'cosine' is no setting"),
        ("dataset", "nothing", "Dataset not found: nothing"),
    ],
)
def test_what_cannot_be_trained_says_why(field, value, words, anna, page):
    anna.dataset("squares", red__png=anna.paint("red"))
    opened(page, "Training")
    unfold(page, "atelier_training_more_of")
    page.write_new("atelier_training_model", "tiny.safetensors")
    page.write_new("atelier_training_dataset", "squares")
    page.write("atelier_training_name", "ink")
    (page.write_new if field == "dataset" else page.write)(f"atelier_training_{field}", value)

    page.part("atelier_training_begin").click()

    expect(page.part("atelier_training_said")).to_contain_text(words)
    assert {} == anna.trainings


def test_two_checkpoints_are_merged_and_the_result_makes_pictures(anna, page):
    anna.checkpoint("other.safetensors", status="Active")
    opened(page, "Merge")
    page.choose("atelier_merge_a", "tiny.safetensors")
    page.choose("atelier_merge_b", "other.safetensors")
    page.write("atelier_merge_name", "slow-both")
    page.part("atelier_merge_begin").click()
    detail = page.part("atelier_merge_detail")
    expect(detail).to_contain_text("tiny.safetensors * (1 - 0.3) + other.safetensors * 0.3, in fp16.")
    expect(detail).to_contain_text("400.0 MB of 2.00 GB")

    anna.finish_work()
    expect(detail).to_contain_text("slow-both.safetensors is in the cloud")
    expect(page.part("atelier_merges")).to_contain_text("Completed")

    page.show("txt2img")
    page.switch_on()
    page.choose("atelier_txt2img_checkpoint", "slow-both.safetensors")
    page.ask("a ship", seed=2)
    expect(page.infotext()).to_contain_text("Seed: 2")


@ON_ONE
def test_a_merge_without_its_third_checkpoint_is_refused_here(anna, page):
    opened(page, "Merge")
    page.choose("atelier_merge_a", "tiny.safetensors")
    page.choose("atelier_merge_b", "tiny.safetensors")
    page.write("atelier_merge_name", "three")
    page.part("atelier_merge_method").get_by_text("Add difference").click()

    page.part("atelier_merge_begin").click()

    expect(page.part("atelier_merge_said")).to_contain_text("Choose the checkpoints A, B, C first")
    assert {} == anna.merges


@ON_ONE
def test_a_cloud_that_is_gone_is_told_and_not_asked_again_and_again(anna, page):
    anna.dataset("squares", red__png=anna.paint("red"))
    opened(page, "Training")
    page.write_new("atelier_training_model", "tiny.safetensors")
    page.write_new("atelier_training_dataset", "squares")
    page.write("atelier_training_name", "slow")
    page.part("atelier_training_begin").click()
    expect(page.part("atelier_training_detail")).to_contain_text("InProgress")
    before = anna.times("ListTrainings")
    until(lambda: anna.times("ListTrainings") > before)

    anna.close()

    expect(page.part("atelier_training_message")).to_contain_text("127.0.0.1")
    expect(page.part("atelier_training_detail")).to_contain_text("InProgress")
