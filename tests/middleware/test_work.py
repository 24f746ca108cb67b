"""A LoRA, a merge and a crop, asked for as any client would, and made by the real image."""

import io
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import docker_image
import httpx
import pytest
import studio as shop
from PIL import Image, ImageDraw

from atelier import deploy
from atelier.cli.connect import reached
from atelier.client import middleware
from atelier.cloud.gateway import launch

pytestmark = pytest.mark.timeout(1200)

IMAGE = Path(__file__).parents[2] / "images" / "training" / "diffusion"
PATIENCE = 600
"""Seconds for what loads torch, on a machine that has other work."""

ENDED = {"Completed", "Failed", "Stopped"}
CONFIG = {
    "resolution": 64,
    "min_bucket_reso": 64,
    "network_dim": 8,
    "learning_rate": 5e-3,
    "train_batch_size": 4,
    "max_train_epochs": 20,
    "save_every_n_epochs": 10,
    "sample_prompts": "a red ball",
    "sample_steps": 2,
}
PICTURE = {"prompt": "a red ball", "steps": 4, "seed": 7, "width": 64, "height": 64, "cfg_scale": 5}


def opened(clients, home, uri=None):
    """Deploy the middleware; its image is built from this checkout, by its pipeline or into a repository."""
    image = {"EndpointImage": docker_image.push(clients, home, uri)} if uri else {}
    parameters = {"UserRequests": shop.HASTY, **image}
    deploy.deploy(clients, prefix="atelier", parameters=parameters, order=deploy.MIDDLEWARE)
    found, api = middleware.place(clients), middleware.connect(clients)
    made = shop.Studio(home=home, clients=clients, url=found.url, token=api.token, bucket=found.bucket)
    made.document = made.ask("GetApiOAS").json()
    return made


@pytest.fixture(scope="module", params=["process", pytest.param("docker", marks=pytest.mark.docker)])
def studio(request):
    """A studio with a tiny checkpoint of its own, twice; nothing of it is shared."""
    place, uri = Path(tempfile.mkdtemp(prefix="atelier-work-")), None
    try:
        clients = reached(launch.start(place / "home", engine=request.param))
        uri = docker_image.repository(clients) if request.param == "docker" else None
        yield opened(clients, place / "home", uri)
    finally:
        launch.stop(place / "home")
        if uri:
            docker_image.forget(uri)
        shutil.rmtree(place, ignore_errors=True)


on_processes = pytest.mark.parametrize("studio", ["process"], indirect=True)
"""What is the same on any engine, and takes its time."""


def ball(colour, size=(80, 96)):
    """A picture of a ball."""
    image = Image.new("RGB", size, "white")
    ImageDraw.Draw(image).ellipse((16, 16, 60, 60), fill=colour)
    held = io.BytesIO()
    image.save(held, "PNG")
    return held.getvalue()


def put(url, body):
    answer = httpx.put(url, content=body, trust_env=False, timeout=60)
    assert 200 == answer.status_code, answer.text


def got(url):
    answer = httpx.get(url, trust_env=False, timeout=60)
    assert 200 == answer.status_code, answer.text
    return answer.content


def dataset(studio, name, files, **asked):
    """Make a dataset of files, and put them in place."""
    content = [{"filename": each, "type": "text" if each.endswith(".txt") else "image"} for each in files]
    wanted = {"dataset_name": name, "content": content, "creator": "api", "prefix": "", **asked}
    links = studio.data("CreateDataset", wanted)["s3PresignUrl"]
    for each, body in files.items():
        put(links[each], body)


def checkpoint(studio, name, seed):
    """Upload a tiny checkpoint of random weights; return its id."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        command = [sys.executable, "-m", "diffusion", "tiny", str(path), "--seed", str(seed)]
        subprocess.run(command, cwd=IMAGE, check=True, capture_output=True)
        body = path.read_bytes()
    wanted = {"checkpoint_type": "Stable-diffusion", "filenames": [{"filename": name}]}
    made = studio.data("CreateCheckpoint", wanted)
    sent = httpx.put(made["s3PresignUrl"][name][0], content=body, trust_env=False, timeout=60)
    tags = {name: [{"ETag": sent.headers["etag"], "PartNumber": 1}]}
    id = made["checkpoint"]["id"]
    studio.data("UpdateCheckpoint", {"status": "Active", "multi_parts_tags": tags}, at={"id": id})
    return id


def training(dataset="balls", model="one.safetensors", **config):
    trained = {
        "training_instance_type": "ml.g4dn.xlarge",
        "model": model,
        "dataset": dataset,
        "fm_type": "sd_1_5",
    }
    config = {"output_name": "ball", **CONFIG, **config}
    return {"lora_train_type": "kohya", "params": {"training_params": trained, "config_params": config}}


def settled(studio, operation, id, status="status", seconds=PATIENCE):
    """Wait until work has come to its end."""

    def look():
        found = studio.data(operation, at={"id": id})
        return found if found[status] in ENDED else None

    return shop.until(look, seconds)


def named(studio, kind, name):
    listed = studio.data("ListCheckpoints", query={"types": kind, "per_page": 100})["checkpoints"]
    return next((each for each in listed if each["name"] == [name] and each["status"] == "Active"), None)


@pytest.fixture(scope="module")
def made(studio):
    """Two checkpoints, a dataset that is enabled, an endpoint, a LoRA and a merge, all by the API."""
    for name, seed in (("one.safetensors", 1), ("two.safetensors", 2)):
        checkpoint(studio, name, seed)
    colours = ("red", "#d00", "#f20", "#c11")
    files = {f"{number}.png": ball(each) for number, each in enumerate(colours)}
    dataset(studio, "balls", {**files, **{f"{number}.txt": b"a red ball" for number in range(len(colours))}})
    studio.data("UpdateDataset", {"status": "Enabled"}, at={"id": "balls"})
    lora = studio.data("CreateTraining", training())["id"]
    merge = {"method": "weighted_sum", "checkpoints": ["one.safetensors", "two.safetensors"]}
    asked = {**merge, "multiplier": 0.5, "output_name": "mixed"}
    mixed = studio.data("MergeCheckpoints", asked)["merge"]["id"]
    shop.endpoint(studio, "work", patience=PATIENCE)
    return {
        "lora": settled(studio, "GetTraining", lora, "job_status"),
        "merge": settled(studio, "GetMerge", mixed),
    }


def painted(studio, checkpoint, prompt, **models):
    """Paint a picture; return its bytes, and what it says of itself."""
    asked = {
        "task_type": "txt2img",
        "inference_type": "Async",
        "sagemaker_endpoint_name": "sd-async-work",
        "models": {"Stable-diffusion": [checkpoint], **models},
        "payload_string": json.dumps({**PICTURE, "prompt": prompt}),
    }
    id = studio.data("CreateInferenceJob", asked)["InferenceJobId"]
    done = shop.ended(studio, id, patience=PATIENCE)
    assert "succeeded" == done["status"], done
    png = got(done["img_presigned_urls"][0])
    return png, Image.open(io.BytesIO(png)).info["parameters"]


def pixels(png):
    return Image.open(io.BytesIO(png)).convert("RGB").tobytes()


def test_a_training_tells_its_loss_its_samples_and_its_log(studio, made):
    found = made["lora"]

    assert ("Completed", None) == (found["job_status"], found.get("error"))
    assert list(range(1, 21)) == [each["step"] for each in found["metrics"]]
    assert found["metrics"][0]["loss"] > found["metrics"][-1]["loss"] > 0
    assert {"000010-0.png", "000020-0.png"} == {each["filename"] for each in found["samples"]}
    for each in found["samples"]:
        assert (64, 64) == Image.open(io.BytesIO(got(each["url"]))).size
    assert b"epoch" in got(found["logs"][0]["url"])


def test_a_lora_is_a_checkpoint_that_knows_what_it_was_made_of(studio, made):
    lora = named(studio, "Lora", "ball.safetensors")

    assert made["lora"]["checkpoint_id"] == lora["id"]
    assert {"kind": "lora", "id": made["lora"]["id"]} == lora["params"]["made_by"]
    assert ["one.safetensors"] == [each["name"] for each in lora["params"]["parents"]]
    assert made["lora"]["result"]["sha256"] == lora["params"]["sha256"]["ball.safetensors"]


def test_a_lora_made_by_the_api_changes_the_picture(studio, made):
    plain, _ = painted(studio, "one.safetensors", "a red ball")
    changed, infotext = painted(
        studio, "one.safetensors", "a red ball <lora:ball:1>", Lora=["ball.safetensors"]
    )

    assert pixels(plain) != pixels(changed)
    assert "Lora hashes" in infotext
    assert "<lora:ball:1>" in infotext


def test_a_merge_made_by_the_api_changes_the_picture(studio, made):
    assert "Completed" == made["merge"]["status"], made["merge"]
    plain, _ = painted(studio, "one.safetensors", "a red ball")
    changed, infotext = painted(studio, "mixed.safetensors", "a red ball")

    assert pixels(plain) != pixels(changed)
    assert "Model: mixed" in infotext


def test_a_merge_is_told_to_its_end_with_its_parents(studio, made):
    mixed = named(studio, "Stable-diffusion", "mixed.safetensors")

    assert made["merge"]["checkpoint_id"] == mixed["id"]
    assert made["merge"]["progress"]["done"] == made["merge"]["progress"]["of"]
    assert ["one.safetensors", "two.safetensors"] == [each["name"] for each in mixed["params"]["parents"]]


@on_processes
def test_a_crop_does_what_it_can_and_says_what_it_cannot(studio):
    files = {"a.png": ball("red"), "b.png": b"", "c.png": b"no picture", "a.txt": b"a red ball"}
    dataset(studio, "odd", files)
    studio.data("CropDataset", {"max_resolution": "48x48"}, at={"id": "odd"})

    def look():
        found = studio.data("GetDataset", at={"id": "odd_48x48"})
        return found if found["crop"]["status"] in ENDED else None

    found = shop.until(look, PATIENCE)

    states = {each["name"]: each["dataStatus"] for each in found["data"]}
    assert ("Enabled", "Completed") == (found["status"], found["crop"]["status"])
    assert {"a.png": "Enabled", "a.txt": "Enabled", "b.png": "Disabled", "c.png": "Disabled"} == states
    assert all(each["reason"] for each in found["data"] if each["dataStatus"] == "Disabled")
    link = next(each["preview_url"] for each in found["data"] if each["name"] == "a.png")
    assert (48, 48) == Image.open(io.BytesIO(got(link))).size


@on_processes
def test_a_container_that_refuses_says_why_and_the_name_is_free_again(studio, made):
    asked = training(output_name="fast", learning_rate="fast")
    for _ in range(2):
        id = studio.data("CreateTraining", asked)["id"]
        found = settled(studio, "GetTraining", id, "job_status")

        assert "Failed" == found["job_status"]
        assert "learning_rate must be a number" in found["error"]
    assert named(studio, "Lora", "fast.safetensors") is None


@on_processes
def test_a_training_that_is_stopped_leaves_nothing_but_its_log(studio, made):
    asked = training(output_name="long", max_train_epochs=10_000)
    id = studio.data("CreateTraining", asked)["id"]
    shop.until(lambda: studio.data("GetTraining", at={"id": id})["job_status"] == "InProgress", PATIENCE)

    assert {"id": id, "status": "Stopped"} == studio.data("StopTraining", at={"id": id})

    states = {
        each["sagemakerTrainName"]: each["status"] for each in studio.data("ListTrainings")["trainings"]
    }
    assert "Stopped" == states[f"lora-{id}"]
    assert named(studio, "Lora", "long.safetensors") is None
    assert "Stopped" == studio.data("GetTraining", at={"id": id})["job_status"]
