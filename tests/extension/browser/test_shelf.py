"""The cloud's LoRAs and VAEs in the accordion, in a browser, with a middleware in memory."""

import json
import re
import struct

import pytest
from PIL import Image
from playwright.sync_api import expect
from webui_page import ON_ONE

HOSTILE = '"><img src=x onerror=alert(1)>'


@pytest.fixture
def shelf(anna, page):
    """Anna's cloud has two LoRAs and a VAE, and the page shows them."""
    for name, kind in (("ink.v2", "Lora"), (HOSTILE, "Lora"), ("clear", "VAE")):
        anna.checkpoint(f"{name}.safetensors", type=kind, status="Active")
    page.switch_on()
    page.part("atelier_txt2img_networks").locator(".label-wrap").first.click()
    return page


def card(page, name):
    return page.part("atelier_shelf_txt2img_pane").locator(".atelier-card").filter(has_text=name)


def test_a_click_on_a_lora_and_a_vae_takes_them_into_the_picture(anna, shelf, page):
    page.write("txt2img_prompt", "a ship")
    card(page, "ink.v2").click()
    prompt = page.part("txt2img_prompt").locator("textarea")
    expect(prompt).to_have_value("a ship <lora:ink.v2:1>")
    expect(card(page, "ink.v2")).to_have_attribute("aria-pressed", "true")
    card(page, "clear").click()
    expect(card(page, "clear")).to_have_attribute("aria-pressed", "true")

    page.ask("a ship <lora:ink.v2:0.5>", seed=2)

    expect(page.infotext()).to_contain_text("Seed: 2")
    (job,) = anna.jobs.values()
    used = {kind: names[0]["model_name"] for kind, names in job["params"]["used_models"].items()}
    assert {
        "Stable-diffusion": "tiny.safetensors",
        "Lora": "ink.v2.safetensors",
        "VAE": "clear.safetensors",
    } == used
    assert "clear.safetensors" == job["asked"]["override_settings"]["sd_vae"]
    card(page, "ink.v2").click()
    expect(prompt).to_have_value("a ship")
    card(page, "clear").click()
    expect(page.part("atelier_txt2img_vae").locator("input").first).to_have_value("Automatic")


@ON_ONE
def test_a_card_has_the_picture_that_this_webui_shows_of_the_same_file(anna, page, webui):
    folder = webui.data / "models" / "Lora"
    folder.mkdir(parents=True)
    header = json.dumps({"t": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}).encode()
    (folder / "ink.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"1")
    Image.new("RGB", (400, 400), "red").save(folder / "ink.preview.png")
    for name in ("ink", "other"):
        anna.checkpoint(f"{name}.safetensors", type="Lora", status="Active")
    page.switch_on()

    page.part("atelier_txt2img_networks").locator(".label-wrap").first.click()

    expect(card(page, "ink").locator("img")).to_have_attribute("src", re.compile("^data:image/jpeg"))
    expect(card(page, "other").locator("img")).to_have_count(0)


@ON_ONE
def test_the_search_hides_the_others_and_a_hostile_name_is_only_a_name(shelf, page):
    expect(card(page, "ink.v2")).to_be_visible()
    expect(page.part("atelier_shelf_txt2img_pane").locator("img[src=x]")).to_have_count(0)

    page.part("atelier_shelf_txt2img_pane").locator("input[type=search]").fill("INK")

    expect(card(page, "clear")).to_be_hidden()
    expect(card(page, "ink.v2")).to_be_visible()
