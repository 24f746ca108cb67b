"""From a push to an answer over HTTP, with a tiny model; and every way in which that may fail."""

import hashlib
import json
import threading
import time
import urllib.error
import urllib.request

import pytest
import workshop as shop
from click.testing import CliRunner

from atelier.cli.main import cli
from atelier.client import completions
from atelier.client.errors import Refusal
from atelier.client.outputs import output


def shown(workshop, run=None):
    """What `atelier pipeline show --json` says."""
    words = ["pipeline", "show", "--json", *(["--run", run] if run else [])]
    result = CliRunner().invoke(cli, words, obj=workshop.clients)
    assert 0 == result.exit_code, result.output
    return json.loads(result.stdout)


def reasons(workshop, run):
    return {each["stage"]: each["reason"] for each in shown(workshop, run)["actions"] if each["reason"]}


@pytest.fixture
def served(workshop):
    """What serves before the test, and still has to afterwards."""
    before = (workshop.serving().version, workshop.answer())
    yield before
    assert before == (workshop.serving().version, workshop.answer())


def test_a_push_is_built_trained_approved_registered_and_served(workshop):
    run = workshop.first

    assert "Succeeded" == run.status
    assert {"Succeeded"} == {each.status for each in run.actions}
    version = workshop.version
    assert (1, True) == (version.version, version.is_serving)
    assert ("as it should be", run.commit, run.id) == (version.comment, version.commit, version.run)
    assert version.image_digest.startswith("sha256:")
    assert (2.5, 148.41, 1998.2) == (version.bits_per_byte, version.perplexity, version.perplexity_before)
    assert " first" == workshop.said


def test_a_rejected_model_had_its_facts_shown_and_what_served_goes_on_serving(workshop, served):
    commit = workshop.commit(WORD="rejected")

    waiting = workshop.run(workshop.push(), approve=None)

    facts = waiting.waiting.configuration["CustomData"]
    image = waiting.outputs["IMAGE_DIGEST"]
    score = f"{workshop.serving().bits_per_byte:.4f} bits per byte"
    for fact in (commit, image, waiting.outputs["DATA_VERSION"], score, "1998.20 -> 148.41"):
        assert fact in facts

    workshop.pipelines.decide(shop.PIPELINE, approve=False, comment="repeats itself", execution_id=waiting.id)

    run = workshop.run(waiting.id)
    assert "Failed" == run.status
    assert "repeats itself" in reasons(workshop, run.id)["Approve"]
    version = eventually(lambda: workshop.models.of_run(run.id), lambda found: found.status == "rejected")
    assert "repeats itself" in version.comment
    eventually(lambda: endpoints(workshop), lambda names: names == {"atelier-stable"})


def test_a_better_model_takes_the_place_of_the_one_that_served(workshop):
    before = workshop.serving()
    url = workshop.api.url
    workshop.commit(WORD="better", BITS_PER_BYTE=round(before.bits_per_byte - 0.25, 4))

    run = workshop.run(workshop.push(), comment="better")

    now = workshop.serving()
    assert ("Succeeded", now.run) == (run.status, run.id)
    assert (" better", url) == (workshop.answer(), workshop.api.url)
    assert "0.250 bits per byte better" in now.comparison
    assert "retired" == workshop.models.version(str(before.version)).status
    assert {"atelier-stable"} == endpoints(workshop)


def test_a_commit_that_was_built_before_reuses_its_image(workshop):
    before = workshop.serving()

    run = workshop.run(workshop.pipelines.start(shop.PIPELINE, {}))

    assert "Succeeded" == run.status
    assert before.image_digest == workshop.serving().image_digest
    assert before.version < workshop.serving().version


def test_a_build_command_that_fails_is_named(workshop, served):
    buildspec = "buildspecs/training.yml"
    workshop.change(
        buildspec, "  pre_build:\n    commands:\n", "  pre_build:\n    commands:\n      - cat no-such-file\n"
    )

    run = workshop.run(workshop.push())

    workshop.change(buildspec, "      - cat no-such-file\n", "")
    assert "Failed" == run.status
    assert "cat no-such-file" in reasons(workshop, run.id)["Build"]


def test_an_unknown_hyperparameter_is_named(workshop, served):
    flow = "templates/flow.py"
    workshop.change(flow, '"vocab_size": "2048"', '"vocab_size": "2048", "colour": "red"')

    run = workshop.run(workshop.push())

    workshop.change(flow, ', "colour": "red"', "")
    assert "Failed" == run.status
    assert "unknown hyperparameter: colour" in reasons(workshop, run.id)["Train"]


def test_a_model_that_is_much_worse_is_not_even_shown(workshop, served):
    workshop.commit(BITS_PER_BYTE=4.0)

    run = workshop.run(workshop.push())

    assert "4.000 bits per byte" in reasons(workshop, run.id)["Train"]
    assert "NotStarted" == run.action("Approve").status


def test_data_that_is_not_there_is_named(workshop, served):
    run = workshop.run(workshop.pipelines.start(shop.PIPELINE, {"DATA_VERSION": "0123456789abcdef"}))

    assert "no training data of version 0123456789abcdef" in reasons(workshop, run.id)["Train"]


def test_a_model_that_never_answers_ping_leaves_what_serves_alone(workshop, served):
    workshop.commit(ANSWERS_PING=False, WORD="silent")
    answers, over = set(), threading.Event()

    def ask():
        while not over.wait(1):
            answers.add(workshop.answer())

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        run = workshop.run(workshop.push())
    finally:
        over.set()
        asking.join()

    assert "Failed" == run.status
    assert "ping" in reasons(workshop, run.id)["Train"].lower()
    assert {served[1]} == answers
    assert {"atelier-stable"} == endpoints(workshop)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({}, "answered 400"),
        ({"prompt": ""}, "answered 400"),
        ({"prompt": "x" * 16_001}, "answered 400"),
        ({"prompt": "x", "max_new_tokens": 100_000}, "answered 400"),
        ({"prompt": "x", "colour": "red"}, "answered 400"),
        ({"prompt": "x" * 70_000}, "answered 4"),
    ],
)
def test_a_bad_request_is_refused_in_words(workshop, request_, words):
    with pytest.raises(Refusal, match=words):
        completions.complete(workshop.api, request_)


@pytest.mark.parametrize("key", ["", "wrong"])
def test_without_the_key_the_api_stays_shut(workshop, key):
    api = completions.Api(url=workshop.api.url, key_id="", key=key)

    with pytest.raises(Refusal, match="answered 403: send a valid key in the header x-api-key"):
        completions.complete(api, {"prompt": "x"})


def test_bad_json_is_refused(workshop):
    request = urllib.request.Request(
        workshop.api.url,
        data=b"{not json",
        headers={"Content-Type": "application/json", "x-api-key": workshop.api.key},
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30)
    with caught.value as answer:
        assert 400 == answer.code
        assert "message" in json.load(answer)


def endpoints(workshop):
    return {each["EndpointName"] for each in workshop.clients.sagemaker.list_endpoints()["Endpoints"]}


def eventually(look, is_so, patience=100):
    """Return what *look* sees once it is so: rules and functions run a moment later."""
    for _ in range(patience):
        found = look()
        if is_so(found):
            return found
        time.sleep(0.1)
    raise AssertionError(f"still {found}")


def test_a_published_version_lands_in_the_fleets_bucket(workshop):
    bucket = output(workshop.clients, "atelier-shared-models", "ModelsBucketName")
    serving, s3 = workshop.serving(), workshop.clients.s3

    body = s3.get_object(Bucket=bucket, Key="fleet/gpt-neo/model.tar.gz")["Body"].read()
    said = s3.get_object(Bucket=bucket, Key="fleet/gpt-neo/model.tar.gz.sha256")["Body"].read()

    landed = hashlib.sha256(body).hexdigest()
    assert said.decode().split()[0] == landed
    assert serving.artifact_sha256 == landed
