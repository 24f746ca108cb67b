"""Generate, in a browser."""

from playwright.sync_api import expect
from standin_middleware import colour


def test_a_picture_of_the_cloud_comes_into_the_gallery(anna, page, webui):
    page.switch_on()

    page.ask("a lighthouse", seed=7)

    expect(page.infotext()).to_contain_text("Seed: 7")
    picture = page.pictures()[0]
    assert (64, 64) == picture.size
    assert colour({"prompt": "a lighthouse"}, 7) == picture.convert("RGB").getpixel((5, 5))
    assert picture.info["parameters"] in page.infotext().inner_text()
    assert [] == page.errors
