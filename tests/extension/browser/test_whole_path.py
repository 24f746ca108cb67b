"""The whole path in a browser: the deployed middleware and Stable Diffusion, on the local cloud."""

import shutil
import tempfile
from contextlib import nullcontext, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import expect
from webui_page import PATIENCE, until

from atelier import artist, deploy
from atelier.cli.connect import reached
from atelier.client import middleware as deployed
from atelier.client import tokens
from atelier.cloud.gateway import launch
from atelier.demo import Clock

MINUTES = 5 * 60_000
BETWEEN_LOOKS = 0.3
"""Seconds: looking shares with the WebUI how often the artist may ask."""


class Silent:
    """A view of the demo's steps that shows nothing."""

    def step(self, text):
        pass

    def during(self, text):
        return nullcontext()

    def rest(self, endpoint):
        return False


@pytest.fixture(scope="session")
def cloud_of_artist():
    """A cloud with the middleware, an artist, their endpoint and a checkpoint's file that is not uploaded."""
    place = Path(tempfile.mkdtemp(prefix="atelier-whole-"))
    home = place / "home"
    try:
        clients = reached(launch.start(home))
        deploy.deploy(clients, prefix="atelier", parameters={}, order=deploy.MIDDLEWARE)
        owner = deployed.connect(clients)
        owner.call("POST", "roles", {"role_name": artist.ROLE, "permissions": list(artist.PERMISSIONS)})
        owner.call("POST", "users", {"username": artist.USER, "roles": [artist.ROLE]})
        secret = tokens.create(owner, artist.USER, description="browser", expires_in=3600).secret
        api = deployed.Api(url=owner.url, token=secret, username=artist.USER)
        artist.ready(api, artist.Plan(folder=place), Silent(), Clock())
        artist.generate(place / artist.CHECKPOINTS[0])
        yield SimpleNamespace(api=api, url=owner.url, token=secret, checkpoint=place / artist.CHECKPOINTS[0])
    finally:
        launch.stop(home)
        shutil.rmtree(place, ignore_errors=True)


@pytest.mark.timeout(900)
def test_from_a_token_to_a_picture_and_one_that_is_cancelled(cloud_of_artist, accounts, webui, page):
    page.connect("studio", cloud_of_artist.url, cloud_of_artist.token)
    expect(page.part("atelier_accounts_message")).to_contain_text("studio is connected")

    name = f"tiny-{webui.gradio}.safetensors"
    folder = webui.data / "models" / "Stable-diffusion"
    folder.mkdir(parents=True)
    shutil.copy(cloud_of_artist.checkpoint, folder / name)
    page.pane("Checkpoints")
    page.part("atelier_checkpoints_refresh").click()
    page.choose("atelier_upload_files", name)
    page.part("atelier_upload_start").click()
    expect(page.part("atelier_upload_progress")).to_contain_text("It is in the cloud")

    page.show("txt2img")
    page.switch_on()
    page.choose("atelier_txt2img_checkpoint", name)
    page.ask("a lighthouse at dawn", seed=7, steps=4)
    expect(page.infotext()).to_contain_text("Seed: 7", timeout=MINUTES)
    expect(page.infotext()).to_contain_text(f"Model: {name.removesuffix('.safetensors')}")
    picture = page.pictures()[0]
    assert ((64, 64), True) == (picture.size, len(picture.convert("RGB").getcolors(4096) or []) != 1)
    assert picture.info["parameters"].startswith("a lighthouse at dawn\n")

    until(lambda: is_cancelled_at_work(page, cloud_of_artist.api))


def is_cancelled_at_work(page, api):
    """Ask for a picture and interrupt it as soon as it is a job; it may have been made before that."""
    page.idle()
    before = newest(api)["InferenceJobId"]
    page.ask("a storm", steps=150, width=256, height=256)
    until(lambda: before != newest(api)["InferenceJobId"], pause=BETWEEN_LOOKS)
    with suppress(PlaywrightError):
        page.part("txt2img_interrupt").click(timeout=PATIENCE)
    page.idle()
    return "cancelled" == newest(api)["status"]


def newest(api):
    """The artist's newest job."""
    return api.call("GET", "inferences?type=txt2img&limit=1")["inferences"][0]
