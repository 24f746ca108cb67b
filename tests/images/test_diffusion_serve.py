"""The diffusion image, run as a container that reads checkpoints from a bucket."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import json
import re
import signal
import struct
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bucket as buckets
import containers
import httpx
import pytest
from bucket import Bucket
from containers import Built, Served, wait_for
from diffusion import samplers, tiny
from PIL import Image

pytestmark = pytest.mark.timeout(1500)  # the first run on a machine installs torch

SAMPLERS = [each for each in samplers.SAMPLERS if each != "Euler"]
SMALL = {"prompt": "a photo of a cat", "seed": 7, "steps": 2, "width": 64, "height": 64}


@pytest.fixture(scope="session")
def image(diffusion_image) -> Built:
    return diffusion_image


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> list[bytes]:
    """Two tiny checkpoints."""
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    return [tiny.write(path, seed) and path.read_bytes() for seed in (0, 1)]


@pytest.fixture(scope="module")
def bucket(weights) -> Iterator[Bucket]:
    with buckets.opened() as opened:
        opened.put("zero.safetensors", weights[0])
        opened.put("one.safetensors", weights[1])
        yield opened


@pytest.fixture(scope="module")
def endpoint(image, bucket, tmp_path_factory) -> Iterator[Served]:
    with served(image, bucket, tmp_path_factory.mktemp("serve")) as running:
        yield running


def served(image: Built, bucket: Bucket, base: Path, **variables: str):
    """Serve, once it is ready; what it keeps lies in *base*."""
    return _ready(
        containers.served(image, base, base / "log", **place(base), **bucket.variables, **variables)
    )


def place(base: Path) -> dict[str, str]:
    return {"DIFFUSION_CACHE_DIR": str(base / "cache"), "TMPDIR": str(base)}


@containers.contextmanager
def _ready(running) -> Iterator[Served]:
    with running as endpoint:
        wait_for(lambda: endpoint.ping() == 200 or endpoint.process.poll() is not None, 300)
        assert endpoint.process.poll() is None, endpoint.log.read_text()
        yield endpoint


def checkpoint(name: str = "zero.safetensors", sha256: str | None = None) -> dict:
    return {"name": name, "s3": f"s3://bucket/{name}", "sha256": sha256}


def ask(endpoint: Served, *checkpoints: dict, task_type: str = "txt2img", **form) -> httpx.Response:
    models = {"Stable-diffusion": [*(checkpoints or [checkpoint()])]}
    return endpoint.ask(id="job-1", task_type=task_type, models=models, params=SMALL | form)


def painted(endpoint: Served, *checkpoints: dict, **form) -> dict:
    answer = ask(endpoint, *checkpoints, **form)
    assert 200 == answer.status_code, answer.text
    return answer.json()


def images(endpoint: Served, *checkpoints: dict, **form) -> list[bytes]:
    return [base64.b64decode(each) for each in painted(endpoint, *checkpoints, **form)["images"]]


def chunks(png: bytes) -> dict[bytes, bytes]:
    """Read a PNG's chunks; check what each promises of itself."""
    assert b"\x89PNG\r\n\x1a\n" == png[:8]
    found, position = {}, 8
    while position < len(png):
        length, kind = struct.unpack(">I4s", png[position : position + 8])
        body = png[position + 8 : position + 8 + length]
        assert struct.pack(">I", binascii.crc32(kind + body)) == png[position + 8 + length :][:4]
        found[kind] = found.get(kind, b"") + body
        position += 12 + length
    return found


def pixels(png: bytes) -> bytes:
    return zlib.decompress(chunks(png)[b"IDAT"])


def png(width: int, height: int, color: bytes) -> str:
    """Draw a picture of one colour, in base64."""
    body = zlib.compress(b"".join(b"\0" + color * width for _ in range(height)))
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", body),
        (b"IEND", b""),
    ]
    written = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", binascii.crc32(kind + body))
        for kind, body in parts
    )
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + written).decode()


def test_a_prompt_becomes_a_picture_that_tells_how_it_was_made(endpoint, weights):
    answer = painted(endpoint, negative_prompt="a dog", sampler_name="DPM++ 2M Karras", width=96)

    (picture,) = map(base64.b64decode, answer["images"])
    found = chunks(picture)
    infotext = (
        "a photo of a cat\nNegative prompt: a dog\nSteps: 2, Sampler: DPM++ 2M, Schedule type: Karras, "
        f"CFG scale: 7.0, Seed: 7, Size: 96x64, Model hash: {hashlib.sha256(weights[0]).hexdigest()[:10]}, "
        "Model: zero, RNG: CPU, Version: diffusers 0.42.1"
    )
    assert (96, 64) == struct.unpack(">II", found[b"IHDR"][:8])
    assert f"parameters\0{infotext}".encode() == found[b"tEXt"]
    assert [infotext] == json.loads(answer["info"])["infotexts"]
    assert ("job-1", "a photo of a cat") == (answer["id"], answer["parameters"]["prompt"])
    assert len(set(pixels(picture))) > 50  # something is on it


def test_the_same_seed_makes_the_same_bytes_and_another_makes_others(endpoint):
    one, again, other = (images(endpoint, seed=seed, sampler_name="Euler a") for seed in (1, 1, 2))

    assert one == again != other


def test_an_image_does_not_depend_on_those_beside_it(endpoint):
    form = {"sampler_name": "DPM++ 2M SDE", "seed": 40}

    together = images(endpoint, **form, batch_size=2, n_iter=2)

    assert together == [images(endpoint, **form | {"seed": 40 + number})[0] for number in range(4)]


def test_a_seed_that_is_left_open_is_told(endpoint):
    answer = painted(endpoint, seed=-1)

    seed = json.loads(answer["info"])["seed"]
    assert answer["images"] == painted(endpoint, seed=seed)["images"]


@pytest.mark.parametrize(
    "changed",
    [
        {"prompt": "a (photo:1.5) of a cat"},
        {"prompt": "a photo of a dog"},
        {"negative_prompt": "blurry"},
        {"prompt": "a photo of a cat BREAK by night"},
        {"prompt": "very " * 80},
        {"cfg_scale": 3},
        {"steps": 3},
        {"clip_skip": 2},
        {"sampler_name": "Heun"},
        {"steps": 4, "scheduler": "Karras"},
    ],
    ids=lambda changed: [*changed][-1],
)
def test_what_is_asked_for_shows(endpoint, changed):
    usual = {"steps": 4} if "scheduler" in changed else {}

    assert pixels(images(endpoint, **usual)[0]) != pixels(images(endpoint, **changed)[0])


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_paints_from_noise_and_from_a_picture(endpoint, sampler):
    form = {"sampler_name": sampler, "steps": 3}

    (drawn,) = images(endpoint, **form)
    changed = form | {"init_images": [png(64, 64, b"\xff\0\0")], "denoising_strength": 0.5}

    assert f"Sampler: {sampler}, ".encode() in chunks(drawn)[b"tEXt"]
    assert pixels(drawn) != pixels(images(endpoint, task_type="img2img", **changed)[0])


def test_img2img_starts_from_the_picture_and_changes_it_as_much_as_asked(endpoint):
    def changed(color: bytes, strength: float) -> bytes:
        picture = f"data:image/png;base64,{png(100, 80, color)}"
        form = {"init_images": [picture], "denoising_strength": strength, "steps": 4}
        answer = painted(endpoint, task_type="img2img", **form)
        assert answer["parameters"]["init_images"] is None
        assert f"Denoising strength: {strength}" in json.loads(answer["info"])["infotexts"][0]
        return pixels(base64.b64decode(answer["images"][0]))

    def distance(one: bytes, other: bytes) -> int:
        return sum(abs(left - right) for left, right in zip(one, other, strict=True))

    red, blue = b"\xff\0\0", b"\0\0\xff"
    little, much = ((changed(red, each), changed(blue, each)) for each in (0.0, 1.0))

    assert distance(*little) > 4 * distance(*much)


def inpainted(endpoint, mask: str | None, **form) -> Image.Image:
    """Paint on a picture of stripes; without a blur, and without what is under the mask made up."""
    stripes = Image.new("RGB", (128, 128), "navy")
    stripes.paste("gold", (0, 32, 128, 96))
    said = {"denoising_strength": 0.9, "mask_blur": 0, "inpainting_fill": 1, "inpaint_full_res": False}
    masked = {"mask": mask} if mask else {}
    form = {"init_images": [encoded(stripes)], **said, **masked, **form}
    answer = painted(endpoint, task_type="img2img", **form)
    assert answer["parameters"].get("mask") is None
    return Image.open(io.BytesIO(base64.b64decode(answer["images"][0])))


def encoded(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def square(*box: int, size: int = 128) -> str:
    """A mask that is white in a box."""
    mask = Image.new("L", (size, size))
    mask.paste(255, box or (0, 0, size, size))
    return encoded(mask)


@pytest.mark.parametrize("content", [0, 1, 2, 3])
def test_what_is_not_masked_stays_as_it_was(endpoint, content):
    kept = inpainted(endpoint, None, denoising_strength=0.0).resize((128, 128))
    new = inpainted(endpoint, square(32, 32, 96, 96), inpainting_fill=content, width=128, height=128)

    assert ((0, 0, 128), (255, 215, 0)) == (new.getpixel((5, 5)), new.getpixel((5, 64)))
    assert (255, 215, 0) != new.getpixel((64, 64))
    assert kept.size == new.size


def test_a_mask_over_everything_is_as_good_as_none_and_one_over_nothing_too(endpoint):
    plain = inpainted(endpoint, None)

    assert plain.tobytes() == inpainted(endpoint, square()).tobytes()
    assert plain.tobytes() == inpainted(endpoint, square(0, 0, 0, 0)).tobytes()
    assert plain.tobytes() == inpainted(endpoint, square(0, 0, 0, 0), inpainting_mask_invert=1).tobytes()


def test_only_what_is_masked_is_painted_and_comes_back_into_the_whole_picture(endpoint):
    new = inpainted(endpoint, square(8, 8, 24, 24), inpaint_full_res=True, inpaint_full_res_padding=8)

    assert ((128, 128), (0, 0, 128)) == (new.size, new.getpixel((40, 10)))
    assert (0, 0, 128) != new.getpixel((16, 16))
    assert "Inpaint area: Only masked, Masked area padding: 8" in new.info["parameters"]


def test_a_mask_that_is_no_image_is_refused_by_name(endpoint):
    answer = ask(endpoint, task_type="img2img", init_images=[png(64, 64, b"abc")], mask="AAAA")

    assert (400, "params.mask must hold one of") == (answer.status_code, answer.json()["message"][:28])


def test_checkpoints_paint_differently_and_are_named_by_the_form(endpoint):
    both = [checkpoint("zero.safetensors"), checkpoint("one.safetensors")]

    def form(name: str) -> dict:
        return {"override_settings": {"sd_model_checkpoint": name}}

    first, second = (painted(endpoint, *both, **form(name)) for name in ("zero", "one.safetensors"))

    assert first["images"] != second["images"]
    assert ["zero", "one"] == [json.loads(each["info"])["sd_model_name"] for each in (first, second)]


def test_a_checkpoint_is_downloaded_once_for_all_who_come_together(endpoint, bucket, weights):
    bucket.put("shared.safetensors", weights[0])
    bucket.may_read.clear()
    with ThreadPoolExecutor(4) as crowd:
        asked = [crowd.submit(images, endpoint, checkpoint("shared.safetensors")) for _ in range(4)]
        bucket.may_read.set()
        answers = [each.result() for each in asked]

    assert [images(endpoint, checkpoint("shared.safetensors"))] * 4 == answers
    assert 1 == bucket.reads("shared.safetensors")


def test_a_digest_that_is_known_is_compared(endpoint, weights):
    digest = hashlib.sha256(weights[0]).hexdigest()

    images(endpoint, checkpoint(sha256=digest))
    refused = ask(endpoint, checkpoint(sha256="0" * 64))

    assert 400 == refused.status_code
    assert f"has the SHA-256 {digest}, not 000" in refused.json()["message"]


def test_what_the_bucket_refuses_is_told(endpoint, bucket):
    bucket.forbidden.add("secret.safetensors")
    bucket.broken.add("broken.safetensors")

    answers = [ask(endpoint, checkpoint(f"{each}.safetensors")) for each in ("none", "secret", "broken")]

    assert [400, 400, 502] == [each.status_code for each in answers]
    assert (
        "s3://bucket/none.safetensors cannot be read with this container's role: S3 says 404"
        in (answers[0].json()["message"])
    )


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"PK\x03\x04" + b"x" * 100, "is a pickled file, which may hold code"),
        (b"<html></html>", "is not a .safetensors file"),
        ((2).to_bytes(8, "little") + b"{}", "has not the tensors of a Stable Diffusion 1"),
    ],
)
def test_what_is_no_checkpoint_is_refused_by_name(endpoint, bucket, body, expected):
    bucket.put("odd.safetensors", body)

    answer = ask(endpoint, checkpoint("odd.safetensors"))

    assert 400 == answer.status_code
    assert expected in answer.json()["message"]


def test_a_checkpoint_that_was_cut_off_is_refused(endpoint, bucket, weights):
    bucket.put("cut.safetensors", weights[0][:-1000])

    answer = ask(endpoint, checkpoint("cut.safetensors"))

    assert (400, True) == (answer.status_code, "checkpoint is damaged" in answer.json()["message"])


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"clip_skip": 3}, "clip_skip must be at most 2: this checkpoint has no more layers"),
        ({"init_images": ["%%%"]}, "init_images must hold base64"),
        ({"init_images": ["R0lGODlhAQABAAAAACw="]}, "init_images must hold one of PNG, JPEG, WEBP"),
        ({"init_images": [png(4200, 4200, b"\0\0\0")]}, "at most 16777216 pixels, not 4200x4200"),
        ({"init_images": [png(64, 64, b"\0\0\0")[:-40]]}, "holds an image that cannot be read"),
    ],
)
def test_what_only_shows_while_painting_is_refused_by_name(endpoint, form, expected):
    answer = ask(endpoint, task_type="img2img", **{"init_images": [png(64, 64, b"\0\0\0")], **form})

    assert 400 == answer.status_code
    assert expected in answer.json()["message"]


def test_a_container_with_little_room_serves_and_finishes_what_it_accepted(image, bucket, tmp_path, weights):
    little = {
        "DIFFUSION_CACHE_BYTES": str(len(weights[0]) + 1000),
        "DIFFUSION_MAX_LOADED": "1",
        "DIFFUSION_MAX_QUEUE": "1",
    }
    with served(image, bucket, tmp_path, **little) as endpoint, ThreadPoolExecutor(1) as other:
        first, second, again = (
            images(endpoint, checkpoint(f"{each}.safetensors")) for each in ("zero", "one", "zero")
        )
        kept = [*(tmp_path / "cache").iterdir()]
        bucket.may_read.clear()
        bucket.asked.clear()
        accepted = other.submit(ask, endpoint, checkpoint("one.safetensors"), steps=20)
        wait_for(lambda: bucket.asked)
        refused = ask(endpoint)
        endpoint.process.send_signal(signal.SIGTERM)
        bucket.may_read.set()

        assert (True, 1, 503) == (first == again != second, len(kept), refused.status_code)
        assert 0 == endpoint.process.wait(60)
        assert 200 == accepted.result().status_code
        assert re.fullmatch(r"(answered images=1 seconds=\d+\.\d+\n){4}", endpoint.log.read_text())


def test_a_setting_that_makes_no_sense_is_refused(image, bucket, tmp_path):
    with containers.served(image, tmp_path, tmp_path / "log", DIFFUSION_MAX_QUEUE="many") as endpoint:
        assert 1 == endpoint.process.wait(30)
        assert "DIFFUSION_MAX_QUEUE='many' must be a whole number from 1 to 1000" in endpoint.log.read_text()
