"""The training pipeline's own promises."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from atelier import synth
from atelier.contract.documents import load
from atelier.contract.events import FlowResult, PublishModel, RegisterModel, StartTraining


@pytest.fixture(scope="module")
def pipeline():
    return json.loads(synth.text("training-pipeline"))["Resources"]["Pipeline"]["Properties"]


def actions(pipeline):
    return {action["Name"]: action for stage in pipeline["Stages"] for action in stage["Actions"]}


def test_the_stages_are_in_their_order(pipeline):
    assert ["Source", "Build", "Deploy", "Train", "Approve", "Register", "Publish"] == [
        each["Name"] for each in pipeline["Stages"]
    ]
    assert ("V2", "SUPERSEDED") == (pipeline["PipelineType"], pipeline["ExecutionMode"])


@pytest.mark.parametrize(
    ("name", "kind"), [("Train", StartTraining), ("Register", RegisterModel), ("Publish", PublishModel)]
)
def test_user_parameters_are_what_the_functions_read(pipeline, name, kind):
    assert load(kind, actions(pipeline)[name]["Configuration"]["UserParameters"])


def test_every_variable_comes_from_an_earlier_action_that_has_it(pipeline):
    built = ["IMAGE_URI", "IMAGE_DIGEST", "CODE_KEY", "LAYER_KEY", "SERVING_TEMPLATE_KEY"]
    given = {
        "variables": {"DATA_VERSION"},
        "codepipeline": {"PipelineExecutionId"},
        "Source": {"CommitId"},
        "Build": set(built),
        "Train": {name.upper() for name in FlowResult.__dataclass_fields__},
    }
    for name, action in actions(pipeline).items():
        for namespace, variable in re.findall(r"#\{(\w+)\.(\w+)\}", json.dumps(action["Configuration"])):
            assert variable in given[namespace], name


def test_the_buildspec_exports_what_the_pipeline_uses():
    spec = yaml.safe_load(Path(__file__).parents[2].joinpath("buildspecs/training.yml").read_text())
    used = set(re.findall(r"#\{Build\.(\w+)\}", synth.text("training-pipeline")))

    assert used <= set(spec["env"]["exported-variables"])


def test_an_image_that_cannot_be_published_fails_the_build(tmp_path):
    spec = yaml.safe_load(Path(__file__).parents[2].joinpath("buildspecs/training.yml").read_text())
    (command,) = (each for each in spec["phases"]["build"]["commands"] if "publish.py" in each)
    program = tmp_path / "python"

    def digest(script):
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        known = {"PATH": f"{tmp_path}:/usr/bin:/bin", "RepositoryUri": "registry/r", "COMMIT": "c0ffee"}
        said = f'{command} && echo "$IMAGE_DIGEST"'
        ended = subprocess.run(["bash", "-c", said], env=known, capture_output=True, text=True, check=False)
        return ended.returncode, ended.stdout

    assert (0, "sha256:11\n") == digest('[ "$3 $4" = "registry/r c0ffee" ] && echo sha256:11')
    assert (3, "") == digest("exit 3")


def test_the_question_shows_the_facts(pipeline):
    question = actions(pipeline)["Approve"]["Configuration"]["CustomData"]

    for fact in ("MODEL_VERSION", "BITS_PER_BYTE", "PERPLEXITY", "COMMIT", "DATA_VERSION", "IMAGE_DIGEST"):
        assert f"#{{Train.{fact}}}" in question


def test_the_question_fits_with_real_facts(pipeline):
    facts = {
        "MODEL_VERSION": "1234",
        "BITS_PER_BYTE": "2.4743",
        "COMPARISON": "0.123 bits per byte better than version 1233 (2.597)",
        "PERPLEXITY_BEFORE": "2069.70",
        "PERPLEXITY": "305.38",
        "COMMIT": "c" * 40,
        "DATA_VERSION": "d" * 64,
        "IMAGE_DIGEST": "sha256:" + "1" * 64,
        "ENDPOINT": "e" * 63,
        "TRAINING_JOB": "j" * 63,
    }
    question = actions(pipeline)["Approve"]["Configuration"]["CustomData"]

    assert 1000 > len(re.sub(r"#\{Train\.(\w+)\}", lambda found: facts[found[1]], question))


def test_the_flows_parameters_fit_with_real_names(pipeline):
    """CodePipeline takes 1000 characters of parameter overrides."""
    text, _ = actions(pipeline)["Deploy"]["Configuration"]["ParameterOverrides"]["Fn::Sub"]
    defaults = json.loads(synth.text("training-pipeline"))["Parameters"]
    names = {
        "CodeBucketName": "atelier-storage-codebucket-abcdefghijkl",
        "DataBucketName": "atelier-storage-databucket-abcdefghijkl",
        "ModelTableName": "atelier-registry-Models-ABCDEFGHIJKLM",
        "ImageRepositoryName": "atelier/gpt-neo",
        "ReportsTopicArn": "arn:aws:sns:eu-west-1:123456789012:atelier-training-pipeline-Reports-ABCDEFGHIJ",
    }
    filled = re.sub(
        r"\$\{(\w+)\}", lambda found: names.get(found[1]) or defaults[found[1]].get("Default", ""), text
    )

    assert 1000 >= len(filled)


def test_the_flow_gets_every_parameter_it_has(pipeline):
    text, _ = actions(pipeline)["Deploy"]["Configuration"]["ParameterOverrides"]["Fn::Sub"]

    assert json.loads(synth.text("training-flow"))["Parameters"].keys() == json.loads(text).keys()


def test_the_rules_say_which_changes_take_a_run_back():
    found = json.loads(synth.text("training-pipeline"))["Resources"]

    rejected = found["RejectedRule"]["Properties"]["EventPattern"]["detail"]
    assert (["Train", "Approve"], ["FAILED"]) == (rejected["action"], rejected["state"])
    assert rejected["stage"] == rejected["action"]
    assert ["SUPERSEDED", "STOPPED", "CANCELED"] == found["EndedRule"]["Properties"]["EventPattern"][
        "detail"
    ]["state"]
    assert ["main"] == found["PushRule"]["Properties"]["EventPattern"]["detail"]["referenceName"]
