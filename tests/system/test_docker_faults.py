"""What goes wrong with images and engines: said at the pipeline, and what serves goes on serving."""

import contextlib
import json
import os
import signal
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import workshop as shop
from engine_door import as_built_for, check, docker_api, foreign

from atelier.client.errors import Refusal

pytestmark = pytest.mark.docker

DOCKERFILE = str(shop.IMAGE / "Dockerfile")
FROM = "FROM python:3.11-slim-bookworm\n"
BUILDSPEC = "buildspecs/training.yml"
BUILD = "  build:\n    commands:\n"
OVERWRITE = (
    "      - echo 'FROM scratch' > other && echo 'COPY other /' >> other\n"
    '      - docker build --quiet --tag "$RepositoryUri:TAG" --file other .\n'
    '      - docker push "$RepositoryUri:TAG"\n'
)


@pytest.fixture
def served(studio):
    """What serves before the test, and still has to afterwards."""
    before = what_serves(studio)
    yield before
    assert before == what_serves(studio)


def what_serves(studio):
    endpoint = studio.clients.sagemaker.describe_endpoint(EndpointName="atelier-stable")
    return (
        studio.serving().version,
        endpoint["EndpointConfigName"],
        endpoint["EndpointStatus"],
        studio.answer(),
    )


@contextlib.contextmanager
def changed(studio, name, old, new):
    """Commit a change; take it back afterwards."""
    studio.change(name, old, new)
    try:
        yield
    finally:
        studio.change(name, new, old)


def failed(run, stage):
    """Return the reason of a run that failed in a stage."""
    assert ("Failed", stage) == (run.status, run.failure and run.failure.stage), run
    return run.failure.reason


@pytest.mark.parametrize(
    ("recipe", "reasons"),
    [
        (f"{FROM}COPY no-such-file .\n", ["no-such-file", "docker build ended with 1"]),
        ("FROM localhost:1/no/such:image\n", ["localhost:1/no/such", "docker build ended with 1"]),
    ],
    ids=["a line that fails", "no base image"],
)
def test_an_image_that_cannot_be_built_is_explained_and_not_registered(studio, served, recipe, reasons):
    before = studio.tags()

    with changed(studio, DOCKERFILE, FROM, recipe):
        reason = failed(studio.run(studio.push()), "Build")

    assert [] == [each for each in reasons if each not in reason], reason
    assert before == studio.tags()


def test_a_build_that_pushes_a_tag_again_is_told_that_tags_do_not_move(studio, served):
    taken = studio.version.commit
    before = studio.tags()

    with changed(studio, BUILDSPEC, BUILD, BUILD + OVERWRITE.replace("TAG", taken)):
        reason = failed(studio.run(studio.push()), "Build")

    assert f"The image tag '{taken}' already exists" in reason
    assert "because the tag is immutable" in reason
    assert before == studio.tags()


@pytest.fixture
def foreign_base():
    """A base image for another processor: its name and that processor."""
    name, (processor, program) = f"atelier-test-{uuid.uuid4().hex}", foreign()
    files = {"Dockerfile": "FROM scratch\nCOPY program /program\n", "program": program}
    with docker_api() as api, tempfile.TemporaryDirectory() as folder:
        for each, content in files.items():
            path = Path(folder, each)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
            path.chmod(0o755)
        check(api.build(path=folder, tag=name, decode=True, rm=True))
        original = api.inspect_image(name)["Id"]
        as_built_for(name, processor)
        api.remove_image(original)
        yield name, processor
        api.remove_image(name, force=True)


def test_an_image_for_another_processor_is_said_to_be(studio, served, foreign_base):
    name, processor = foreign_base

    with changed(studio, DOCKERFILE, shop.DOCKERFILE, f'FROM {name}\nENTRYPOINT ["/program"]\n'):
        reason = failed(studio.run(studio.push()), "Train")

    assert f"the image is built for linux/{processor}, which this machine does not run" in reason


def test_a_registry_that_dies_in_a_push_comes_back_and_a_deleted_image_is_not_published(studio, served):
    before, large = studio.tags(), "RUN head -c 30000000 /dev/urandom > /large\nCOPY tiny_model.py"

    with changed(studio, DOCKERFILE, "COPY tiny_model.py", large), ThreadPoolExecutor(1) as pool:
        meanwhile = pool.submit(kill_registry_in_a_push, studio)
        run = studio.run(studio.push(), approve=None)
    assert before == meanwhile.result()
    assert run.waiting, run.failure
    digest = run.outputs["IMAGE_DIGEST"]
    repository = studio.uri.partition("/")[2]
    studio.clients.ecr.batch_delete_image(repositoryName=repository, imageIds=[{"imageDigest": digest}])

    studio.pipelines.decide(shop.PIPELINE, approve=True, comment="too late", execution_id=run.id)

    assert f"has no image {digest}" in failed(studio.run(run.id), "Publish")
    assert before == studio.tags()


def kill_registry_in_a_push(studio):
    """Kill the registry as soon as it has a part of a layer; return the tags that there are then."""
    eventually(lambda: list(studio.home.glob("registry/data/**/_uploads/*/data")))
    os.kill(json.loads((studio.home / "registry" / "process.json").read_text())["pid"], signal.SIGKILL)
    return studio.tags()


def test_a_stopped_engine_is_named_and_the_endpoint_comes_back_with_it(studio, served):
    studio.stop_engine()
    try:
        with pytest.raises(Refusal, match="answered 50"):
            studio.answer()
        studio.commit(WORD="unbuilt")
        reason = failed(studio.run(studio.push()), "Build")
    finally:
        studio.door.open()

    assert "Cannot connect to the Docker daemon" in reason
    assert served[-1] == eventually(lambda: answered(studio))


def answered(studio):
    with contextlib.suppress(Refusal):
        return studio.answer()
    return None


def eventually(look, patience=240):
    """Return what there is to see as soon as there is something."""
    deadline = time.monotonic() + patience
    while not (seen := look()):
        assert time.monotonic() < deadline
        time.sleep(0.03)
    return seen
