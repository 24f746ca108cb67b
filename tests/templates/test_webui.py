"""The promises of the stacks around the WebUI's pipeline."""

import json
import re
from pathlib import Path

import pytest
import yaml

from atelier import synth
from atelier.contract import tables, webui
from atelier.contract.documents import load
from atelier.contract.webui import PublishImage

ROOT = Path(__file__).parents[2]
GIVEN_BY_PROJECT = {"RepositoryUri", "RepositoryName", "ParameterPath", "BASE_IMAGE", "ACCELERATOR"}


@pytest.fixture(scope="module")
def stack():
    return json.loads(synth.text("webui-pipeline"))["Resources"]


@pytest.fixture(scope="module")
def pipeline(stack):
    return stack["Pipeline"]["Properties"]


def stages(pipeline):
    """The stages, with the one that only some installations have."""
    return [each["Fn::If"][1] if "Fn::If" in each else each for each in pipeline["Stages"]]


def actions(pipeline):
    return {action["Name"]: action for stage in stages(pipeline) for action in stage["Actions"]}


def statements(stack, role):
    return stack[role]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]


def actions_of(stack, role):
    return {action for each in statements(stack, role) for action in each["Action"]}


def test_the_stages_are_in_their_order(pipeline):
    assert ["Source", "Build", "Test", "Approve", "Publish"] == [each["Name"] for each in stages(pipeline)]
    assert ("V2", "SUPERSEDED") == (pipeline["PipelineType"], pipeline["ExecutionMode"])


def test_a_person_approves_only_where_it_is_asked_for(pipeline):
    template = json.loads(synth.text("webui-pipeline"))

    assert ["IsApproved", {"Ref": "AWS::NoValue"}] == pipeline["Stages"][3]["Fn::If"][::2]
    assert {"IsApproved": {"Fn::Equals": [{"Ref": "WebuiApproval"}, "true"]}} == template["Conditions"]
    assert "false" == template["Parameters"]["WebuiApproval"]["Default"]


def test_the_upstream_commit_is_a_variable_that_need_not_be_given(pipeline):
    (variable,) = pipeline["Variables"]

    assert ("UPSTREAM_COMMIT", webui.LATEST_GOOD) == (variable["Name"], variable["DefaultValue"])


def test_user_parameters_are_what_the_function_reads(pipeline):
    assert load(PublishImage, actions(pipeline)["Publish"]["Configuration"]["UserParameters"])


def test_every_variable_comes_from_an_earlier_action_that_has_it(pipeline):
    given = {
        "variables": {"UPSTREAM_COMMIT"},
        "codepipeline": {"PipelineExecutionId"},
        "Source": {"CommitId"},
        "Build": exported("webui"),
        "Test": exported("webui-test"),
    }
    for name, action in actions(pipeline).items():
        for namespace, variable in re.findall(r"#\{(\w+)\.(\w+)\}", json.dumps(action["Configuration"])):
            assert variable in given[namespace], name


def spec(name):
    return yaml.safe_load((ROOT / "buildspecs" / f"{name}.yml").read_text())


def exported(name):
    return set(spec(name)["env"]["exported-variables"])


@pytest.mark.parametrize("title", ["Build", "Test"])
def test_builds_are_given_what_they_say_they_need(stack, pipeline, title):
    project = stack[title]["Properties"]
    given = {each["Name"] for each in project["Environment"]["EnvironmentVariables"]}
    added = {
        each["name"] for each in json.loads(actions(pipeline)[title]["Configuration"]["EnvironmentVariables"])
    }
    path = ROOT / project["Source"]["BuildSpec"]
    said = re.search(r"At home: (.*?) are variables", path.read_text())[1]

    assert given == GIVEN_BY_PROJECT
    assert set(re.findall(r"\w+", said)) - {"and"} <= given | added
    assert project["Environment"]["PrivilegedMode"]


def test_only_publishing_moves_what_is_launched(stack):
    moving = {
        title for title in stack if title.endswith("Role") and "ssm:PutParameter" in actions_of(stack, title)
    }

    assert {"PublishRole"} == moving


def test_the_history_is_read_and_written_item_by_item_and_nothing_else(stack):
    roles = [title for title in stack if title.endswith("Role")]
    found = {action for title in roles for action in actions_of(stack, title) if "dynamodb" in action}

    assert {"dynamodb:GetItem", "dynamodb:PutItem"} == found


def test_only_the_build_pushes_images_and_into_one_repository(stack):
    pushing = {
        title for title in stack if title.endswith("Role") and "ecr:PutImage" in actions_of(stack, title)
    }
    (statement,) = (each for each in statements(stack, "BuildRole") if "ecr:PutImage" in each["Action"])

    assert {"BuildRole"} == pushing
    (resource,) = statement["Resource"]
    assert resource["Fn::Sub"].endswith(":repository/${WebuiRepositoryName}")


def test_a_push_calls_what_knows_its_paths_and_the_clock_what_looks(stack):
    rule, clock = stack["PushRule"]["Properties"], stack["Clock"]["Properties"]

    assert [{"Fn::GetAtt": ["Changes", "Arn"]}] == [each["Arn"] for each in rule["Targets"]]
    assert ["main"] == rule["EventPattern"]["detail"]["referenceName"]
    assert {"Fn::GetAtt": ["Track", "Arn"]} == clock["Target"]["Arn"]
    assert {"Ref": "UpstreamRate"} == clock["ScheduleExpression"]


def test_every_way_for_a_run_to_begin_or_end_without_an_image_is_followed(stack):
    detail = stack["RunRule"]["Properties"]["EventPattern"]["detail"]

    assert {"STARTED", "RESUMED", "FAILED", "SUPERSEDED", "STOPPED", "CANCELED"} == set(detail["state"])
    assert [{"Ref": "Pipeline"}] == detail["pipeline"]


@pytest.mark.parametrize(
    ("rate", "fits"),
    [("rate(15 minutes)", True), ("cron(0 8 * * ? *)", True), ("15 minutes", False), ("rate()", False)],
)
def test_the_rate_is_one_that_a_schedule_takes(rate, fits):
    pattern = json.loads(synth.text("webui-pipeline"))["Parameters"]["UpstreamRate"]["AllowedPattern"]

    assert fits == bool(re.fullmatch(pattern, rate))


def test_the_question_fits_with_real_facts(pipeline):
    facts = {
        "UPSTREAM_URL": "u" * 200,
        "IMAGE_URI": "i" * 250,
        "SIZE_BYTES": "9" * 12,
        "STARTUP_SECONDS": "12.345",
    }
    question = actions(pipeline)["Approve"]["Configuration"]["CustomData"]

    assert 1000 > len(re.sub(r"#\{\w+\.(\w+)\}", lambda found: facts.get(found[1], "c" * 40), question))


def test_images_never_change_under_their_tags_and_the_history_has_its_index():
    state = json.loads(synth.text("webui-state"))["Resources"]
    images = state["WebuiImages"]["Properties"]
    rules = json.loads(images["LifecyclePolicy"]["LifecyclePolicyText"])["rules"]

    assert ("IMMUTABLE", True) == (
        images["ImageTagMutability"],
        images["ImageScanningConfiguration"]["ScanOnPush"],
    )
    assert [1, 2] == [each["rulePriority"] for each in rules]
    assert [each.name for each in tables.WEBUI_HISTORY.indexes] == [
        each["IndexName"] for each in state["WebuiHistory"]["Properties"]["GlobalSecondaryIndexes"]
    ]
