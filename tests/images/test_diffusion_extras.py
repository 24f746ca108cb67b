"""LoRAs, VAEs and embeddings at inference, in a container that serves."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import bucket as buckets
import containers
import jobs
import pytest
from bucket import Bucket
from containers import Served, wait_for
from diffusion import layout

pytestmark = pytest.mark.timeout(1500)  # the first run on a machine installs torch

SMALL = {"prompt": "a photo of a cat", "seed": 7, "steps": 2, "width": 64, "height": 64}
CAT, LAYER = "<lora:cat:2>", "lora_te_text_model_encoder_layers_0_mlp_fc1"


def file(tensors: Mapping[str, tuple[str, tuple[int, ...], bytes]], **metadata: str) -> bytes:
    """Write a .safetensors file."""
    table, bodies, end = {"__metadata__": {"format": "pt", **metadata}}, b"", 0
    for name, (kind, shape, body) in tensors.items():
        table[name] = {"dtype": kind, "shape": shape, "data_offsets": [end, end + len(body)]}
        bodies, end = bodies + body, end + len(body)
    header = json.dumps(table).encode()
    return len(header).to_bytes(8, "little") + header + bodies


def tensor(*shape: int, value: float = 0.5) -> tuple[str, tuple[int, ...], bytes]:
    count = math.prod(shape)
    numbers = (value * math.sin(each) for each in range(count))
    return "F32", shape, struct.pack(f"<{count}f", *numbers)


def lora(layer: str = LAYER, outputs: int = 256, inputs: int = 64, rank: int = 2, **more) -> bytes:
    halves = {"lora_down.weight": tensor(rank, inputs), "lora_up.weight": tensor(outputs, rank)}
    return file({f"{layer}.{name}": each for name, each in (halves | more).items()})


def vae(checkpoint: bytes, prefix: str = "") -> bytes:
    """Take the VAE out of a checkpoint."""
    table, _, rest = jobs.tensors(checkpoint)
    return file(
        {
            f"{prefix}{name.removeprefix(layout.VAE)}": (
                each["dtype"],
                tuple(each["shape"]),
                rest[slice(*each["data_offsets"])],
            )
            for name, each in table.items()
            if name.startswith(layout.VAE)
        }
    )


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> list[bytes]:
    return [jobs.checkpoint(tmp_path_factory.mktemp("weights"), seed) for seed in (0, 1)]


@pytest.fixture(scope="module")
def bucket(weights, learned) -> Iterator[Bucket]:
    with buckets.opened() as opened:
        opened.put("zero.safetensors", weights[0])
        opened.put("one.safetensors", weights[1])
        opened.put("cat.safetensors", learned.bucket.objects[jobs.OUTPUT])
        opened.put("plain.safetensors", lora())
        opened.put("vae.safetensors", vae(weights[1]))
        opened.put("whole.safetensors", vae(weights[1], layout.VAE))
        opened.put("style.safetensors", file({"emb_params": tensor(3, 64, value=3)}))
        yield opened


@pytest.fixture(scope="module")
def endpoint(diffusion_image, bucket, tmp_path_factory) -> Iterator[Served]:
    with serving(diffusion_image, bucket, tmp_path_factory.mktemp("serve")) as running:
        yield running


@contextmanager
def serving(image, bucket: Bucket, base: Path) -> Iterator[Served]:
    place = {"DIFFUSION_CACHE_DIR": str(base / "cache"), "TMPDIR": str(base)}
    with containers.served(image, base, base / "log", **place, **bucket.variables) as endpoint:
        wait_for(lambda: endpoint.ping() == 200 or endpoint.process.poll() is not None, 300)
        yield endpoint


def model(name: str) -> dict:
    return {"name": f"{name}.safetensors", "s3": f"s3://bucket/{name}.safetensors", "sha256": None}


def ask(endpoint: Served, models: Mapping[str, list[str]] | None = None, **form):
    named = {"Stable-diffusion": ["zero"]} | dict(models or {})
    listed = {kind: [model(each) for each in names] for kind, names in named.items()}
    return endpoint.ask(id="job", task_type="txt2img", models=listed, params=SMALL | form)


def painted(endpoint: Served, models: Mapping[str, list[str]] | None = None, **form) -> dict:
    answer = ask(endpoint, models, **form)
    assert 200 == answer.status_code, answer.text
    return answer.json()


def pixels(answer: dict) -> bytes:
    """Return a picture without what it tells of itself."""
    png = base64.b64decode(answer["images"][0])
    return png[png.index(b"IDAT") :]


def info(answer: dict) -> dict:
    return json.loads(answer["info"])


def refused(endpoint: Served, models: Mapping[str, list[str]], **form) -> str:
    answer = ask(endpoint, models, **form)
    assert 400 == answer.status_code, answer.text
    return answer.json()["message"]


def test_a_lora_that_was_trained_changes_the_picture_and_is_told(endpoint, learned):
    before = painted(endpoint)
    with_cat = painted(endpoint, {"Lora": ["cat", "plain"]}, prompt=f"{CAT}a photo of a cat")
    after = painted(endpoint, {"Lora": ["cat"]})

    assert before["images"] == after["images"]
    assert pixels(before) != pixels(with_cat)
    text = info(with_cat)["infotexts"][0]
    assert text.startswith(f"{CAT}a photo of a cat\nSteps: 2")
    assert f'Lora hashes: "cat: {learned.result["hash"]}", Version' in text
    assert {"Lora hashes": f"cat: {learned.result['hash']}"}.items() <= info(with_cat)[
        "extra_generation_params"
    ].items()


def test_only_what_a_prompt_names_is_fetched(endpoint, bucket):
    bucket.put("unused.safetensors", b"not read")

    painted(endpoint, {"Lora": ["unused"], "VAE": ["unused"], "embeddings": ["unused"]})

    assert 0 == bucket.reads("unused.safetensors")


def test_a_lora_is_as_strong_as_asked_in_each_network(endpoint):
    def pictured(*tags: str) -> bytes:
        return pixels(
            painted(endpoint, {"Lora": ["cat", "plain"]}, prompt=f"a photo of a cat{''.join(tags)}")
        )

    none, whole = pictured(), pictured("<lora:cat>")
    text, unet = pictured("<lora:cat:1:0>"), pictured("<lora:cat:0:1>")

    assert none == pictured("<lora:cat:0>") == pictured("<lora:plain:unet=1:te=0>")
    assert whole == pictured("<lora:cat:1.0>") == pictured("<lora:cat:te=1:unet=1>")
    assert 4 == len({none, whole, text, unet})
    assert 2 == len({whole, pictured("<lora:cat>", "<lora:plain>")})


def test_a_lora_goes_with_the_checkpoint_that_is_asked_for_and_leaves_the_others_alone(endpoint):
    checkpoints = {"Stable-diffusion": ["zero", "one"], "Lora": ["cat"]}

    def pictured(name: str, prompt: str) -> bytes:
        settings = {"sd_model_checkpoint": name}
        return pixels(painted(endpoint, checkpoints, prompt=prompt, override_settings=settings))

    plain = [pictured(each, "a cat") for each in ("zero", "one")]
    changed = [pictured(each, f"a cat{CAT}") for each in ("zero", "one")]
    again = [pictured(each, "a cat") for each in ("zero", "one")]

    assert plain == again
    assert 4 == len({*plain, *changed})


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (lora(LAYER.replace("0_mlp", "7_mlp")), f"this checkpoint has no {LAYER.replace('0_mlp', '7_mlp')}"),
        (lora(outputs=3072, inputs=768), f"{LAYER} is 3072x768, this checkpoint's 256x64"),
        (lora(inputs=32), "is for another architecture"),
        (lora(alpha=tensor(2)), f"is damaged: {LAYER}.alpha is not one number"),
        (lora("lora_te1_text_model_x"), "is for Stable Diffusion XL"),
        (lora("lora_unet_x", dora_scale=tensor(1)), "of a kind that is not supported: DoRA"),
        (file({f"{LAYER}.hada_w1_a": tensor(2, 64)}), "of a kind that is not supported: LoHa"),
        (file({f"{LAYER}.lora_up.weight": tensor(256, 2)}), f"lacks a half of {LAYER}"),
        (file({"unet.down_blocks.0.lora_A.weight": tensor(2, 2)}), "has the key names of diffusers"),
        (file({"weight": tensor(2, 2)}), "is no LoRA with the key names of kohya: it has weight"),
        (file({}), "holds nothing"),
        (lora()[:-100], "is damaged"),
        (b"PK\x03\x04" + b"x" * 50, "is a pickled file, which may hold code"),
        ((10**12).to_bytes(8, "little") + b"{}", "is not a .safetensors file"),
        (b"", "is not a .safetensors file"),
    ],
)
def test_what_is_no_lora_for_this_checkpoint_is_refused_by_name(endpoint, bucket, body, complaint):
    bucket.put("odd.safetensors", body)

    message = refused(endpoint, {"Lora": ["odd", "cat"]}, prompt=f"{CAT}<lora:odd:1>")

    assert "the LoRA odd" in message
    assert complaint in message
    assert pixels(painted(endpoint)) != pixels(
        painted(endpoint, {"Lora": ["cat"]}, prompt=SMALL["prompt"] + CAT)
    )


def test_a_lora_that_is_not_listed_is_named(endpoint):
    message = refused(endpoint, {"Lora": ["cat"]}, prompt="<lora:dog:1>")

    assert "params.prompt names the LoRA 'dog', which is none of models.Lora: cat" == message


@pytest.mark.parametrize("name", ["vae", "whole"])
def test_a_vae_of_its_own_paints_other_colours_and_is_told(endpoint, bucket, name):
    usual = painted(endpoint)
    other = painted(endpoint, {"VAE": [name]}, override_settings={"sd_vae": f"{name}.safetensors"})
    automatic = painted(endpoint, {"VAE": [name]}, override_settings={"sd_vae": "Automatic"})

    digest = hashlib.sha256(bucket.objects[f"{name}.safetensors"]).hexdigest()[:10]
    assert usual["images"] == automatic["images"] != other["images"]
    assert f"VAE hash: {digest}, VAE: {name}.safetensors, RNG" in info(other)["infotexts"][0]
    assert (f"{name}.safetensors", digest) == tuple(
        info(other)[f"sd_vae_{each}"] for each in ("name", "hash")
    )


def test_what_is_no_vae_is_refused_by_name(endpoint, bucket):
    bucket.put("odd.safetensors", lora())

    odd = refused(endpoint, {"VAE": ["odd"]}, override_settings={"sd_vae": "odd"})
    missing = refused(endpoint, {"VAE": ["vae"]}, override_settings={"sd_vae": "none.pt"})

    assert "the VAE odd has not the tensors of a Stable Diffusion 1's VAE" == odd
    assert "override_settings.sd_vae 'none.pt' is none of models.VAE: vae" == missing


def test_an_embedding_is_a_word_of_the_prompt(endpoint, bucket):
    listed = {"embeddings": ["style"]}
    with_word = painted(endpoint, listed, prompt="a photo, (Style:1.2)")
    without = painted(endpoint, prompt="a photo, (Style:1.2)")
    against = painted(endpoint, listed, negative_prompt="style")
    stylish = painted(endpoint, listed, prompt="a photo, stylish")

    digest = hashlib.sha256(bucket.objects["style.safetensors"]).hexdigest()[:10]
    assert pixels(with_word) != pixels(without)
    assert pixels(against) != pixels(painted(endpoint, negative_prompt="style"))
    assert f'TI hashes: "style: {digest}", Version' in info(with_word)["infotexts"][0]
    assert pixels(stylish) == pixels(painted(endpoint, prompt="a photo, stylish"))
    assert "TI hashes" not in info(stylish)["infotexts"][0]


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (file({"emb_params": tensor(2, 768)}), "is for a text encoder of 768 numbers, not 64"),
        (file({"clip_l": tensor(2, 768), "clip_g": tensor(2, 1280)}), "is for Stable Diffusion XL"),
        (file({"emb_params": tensor(76, 64)}), "must have 1 to 75 vectors, not 76"),
        (lora(), "must hold one table of vectors, not"),
        (b"", "is not a .safetensors file"),
    ],
)
def test_what_is_no_embedding_is_refused_by_name(endpoint, bucket, body, complaint):
    bucket.put("odd.safetensors", body)

    message = refused(endpoint, {"embeddings": ["odd"]}, prompt="an odd photo")

    assert "the embedding odd" in message
    assert complaint in message


def test_a_container_that_ran_out_of_memory_says_so_and_keeps_serving(diffusion_image, bucket, tmp_path):
    with serving(diffusion_image, bucket, tmp_path) as endpoint:
        before = painted(endpoint, {"Lora": ["cat"]}, prompt=f"a cat{CAT}")
        used = int((Path("/proc") / str(endpoint.process.pid) / "statm").read_text().split()[0]) * 4096
        containers.limit(endpoint.process.pid, used + 300_000_000)

        small = base64.b64encode(jobs.picture(1, (64, 64))).decode()
        form = SMALL | {"width": 2048, "height": 2048, "init_images": [small]}
        models = {"Stable-diffusion": [model("zero")]}
        answer = endpoint.ask(id="job", task_type="img2img", models=models, params=form)
        after = painted(endpoint, {"Lora": ["cat"]}, prompt=f"a cat{CAT}")

        assert (400, "2048x2048 needs more memory than this machine has") == (
            answer.status_code,
            answer.json()["message"],
        )
        assert before["images"] == after["images"]
        assert "out of memory: forgetting what is loaded" in endpoint.log.read_text()
