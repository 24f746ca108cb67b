"""CodePipeline's pure core: what a declaration may say, what a variable means, what happens next."""

import copy
import json
from dataclasses import replace

import pytest

from atelier.cloud.context import Refused
from atelier.cloud.services.codepipeline import events, variables
from atelier.cloud.services.codepipeline.declaration import check
from atelier.cloud.services.codepipeline.runs import (
    ActionRun,
    Artifact,
    Failure,
    Run,
    from_record,
    to_record,
)
from atelier.cloud.services.codepipeline.schedule import (
    Begin,
    Close,
    CloseStage,
    Enter,
    StagePlan,
    Supersede,
    next_step,
    plan,
)
from atelier.cloud.services.wire import ServiceError

ROLE = "arn:aws:iam::000000000000:role/pipeline"


def kind(category, provider, **changes):
    return {"category": category, "owner": "AWS", "provider": provider, "version": "1", **changes}


def declaration():
    return {
        "name": "training",
        "roleArn": ROLE,
        "pipelineType": "V2",
        "artifactStore": {"type": "S3", "location": "artifacts"},
        "variables": [{"name": "DATA_VERSION", "defaultValue": "latest"}],
        "stages": [
            {
                "name": "Source",
                "actions": [
                    {
                        "name": "Code",
                        "actionTypeId": kind("Source", "CodeCommit"),
                        "namespace": "Source",
                        "configuration": {
                            "RepositoryName": "atelier",
                            "BranchName": "main",
                            "PollForSourceChanges": "false",
                        },
                        "outputArtifacts": [{"name": "Code"}],
                    }
                ],
            },
            {
                "name": "Build",
                "actions": [
                    {
                        "name": "Image",
                        "actionTypeId": kind("Build", "CodeBuild"),
                        "namespace": "Build",
                        "configuration": {
                            "ProjectName": "image",
                            "EnvironmentVariables": '[{"name": "COMMIT", "value": "#{Source.CommitId}"}]',
                        },
                        "inputArtifacts": [{"name": "Code"}],
                        "outputArtifacts": [{"name": "Built"}],
                    }
                ],
            },
            {
                "name": "Deploy",
                "actions": [
                    {
                        "name": "Flow",
                        "actionTypeId": kind("Deploy", "CloudFormation"),
                        "configuration": {
                            "ActionMode": "CREATE_UPDATE",
                            "StackName": "flow",
                            "RoleArn": ROLE,
                            "TemplatePath": "Built::flow.json",
                            "ParameterOverrides": '{"Image": "#{Build.DIGEST}"}',
                        },
                        "inputArtifacts": [{"name": "Built"}],
                    },
                    {
                        "name": "Train",
                        "runOrder": 2,
                        "actionTypeId": kind("Invoke", "Lambda"),
                        "configuration": {
                            "FunctionName": "start",
                            "UserParameters": "#{codepipeline.PipelineExecutionId} #{variables.DATA_VERSION}",
                        },
                    },
                    {"name": "Approve", "runOrder": 3, "actionTypeId": kind("Approval", "Manual")},
                ],
            },
        ],
    }


def changed(path, value):
    """The declaration with one place changed: ``stages.1.actions.0.name``; None takes it away."""
    whole = copy.deepcopy(declaration())
    *way, last = path.split(".")
    place = whole
    for step in way:
        place = place[int(step)] if isinstance(place, list) else place[step]
    last = int(last) if isinstance(place, list) else last
    if value is None:
        del place[last]
    else:
        place[last] = value
    return whole


def test_a_pipeline_as_we_write_it_is_valid():
    check(declaration(), "us-east-1")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("stages", declaration()["stages"][:1], "must have 2 to 50 stages"),
        ("stages.1.name", "Source", "Stage names must be unique"),
        ("stages.2.actions.1.name", "Flow", "Action names must be unique"),
        ("stages.1.actions", [], "must have 1 to 50 actions"),
        ("stages.0.actions.0.actionTypeId", kind("Build", "CodeBuild"), "only contains source actions"),
        ("stages.1.actions.0.actionTypeId", kind("Source", "CodeCommit"), "Only the first stage"),
        ("stages.1.actions.0.inputArtifacts", [{"name": "Nothing"}], "not the output of an earlier action"),
        ("stages.1.actions.0.outputArtifacts", [{"name": "Code"}], "Code has been used more than once"),
        ("stages.1.actions.0.inputArtifacts", [], "takes 1 to 5 inputArtifacts"),
        ("stages.2.actions.2.outputArtifacts", [{"name": "Word"}], "takes 0 to 0 outputArtifacts"),
        ("stages.1.actions.0.namespace", "Source", "Source has been used more than once"),
        ("stages.1.actions.0.namespace", "codepipeline", "is reserved"),
        ("stages.1.actions.0.namespace", "variables", "is reserved"),
        (
            "stages.1.actions.0.configuration.ProjectName",
            None,
            "missing required configuration 'ProjectName'",
        ),
        ("stages.1.actions.0.configuration.Colour", "red", "unknown configuration 'Colour'"),
        ("stages.1.actions.0.configuration.PrimarySource", "Built", "PrimarySource must name one"),
        (
            "stages.1.actions.0.configuration.ProjectName",
            "#{Nowhere.X}",
            r"VariableReferenceText=\[Nowhere.X\]",
        ),
        (
            "stages.1.actions.0.configuration.ProjectName",
            "#{Build.X}",
            "does not exist or is not the namespace",
        ),
        ("stages.1.actions.0.configuration.ProjectName", "#{CommitId}", "a namespace and a key separated"),
        ("stages.1.actions.0.configuration.ProjectName", "#{variables.Z}", "has no such variable"),
        ("stages.1.actions.0.configuration.ProjectName", "#{codepipeline.Name}", "has no such variable"),
        (
            "stages.2.actions.0.configuration.TemplatePath",
            None,
            "missing required configuration 'TemplatePath'",
        ),
        (
            "stages.2.actions.0.configuration.TemplatePath",
            "flow.json",
            "TemplatePath must be <input artifact>",
        ),
        ("stages.2.actions.0.configuration.TemplatePath", "Code::flow.json", "TemplatePath must be"),
        ("stages.2.actions.0.outputArtifacts", [{"name": "Out"}], "needs OutputFileName"),
        ("stages.2.actions.0.timeoutInMinutes", 5, "manual approval actions only"),
        ("variables", [{"name": "A"}, {"name": "A"}], "Pipeline variable names must be unique"),
        ("artifactStore", None, "no artifactStore"),
    ],
)
def test_a_declaration_that_aws_would_not_take_is_refused(path, value, message):
    with pytest.raises(ServiceError, match=message):
        check(changed(path, value), "us-east-1")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("pipelineType", "V1", "pipelineType V1"),
        ("pipelineType", None, "pipelineType V1"),
        ("executionMode", "QUEUED", "executionMode QUEUED"),
        ("executionMode", "PARALLEL", "executionMode PARALLEL"),
        ("triggers", [{"providerType": "CodeStarSourceConnection"}], "triggers"),
        ("artifactStores", {"us-east-1": {}}, "artifactStores"),
        ("artifactStore.encryptionKey", {"id": "k", "type": "KMS"}, "encryptionKey"),
        ("stages.1.blockers", [{"name": "b", "type": "Schedule"}], "blockers of stage Build"),
        ("stages.1.onFailure", {"result": "ROLLBACK"}, "onFailure of stage Build"),
        ("stages.1.beforeEntry", {"conditions": []}, "beforeEntry of stage Build"),
        ("stages.1.actions.0.region", "eu-west-1", "region eu-west-1 of action Build/Image"),
        ("stages.1.actions.0.commands", ["make"], "commands of action Build/Image"),
        (
            "stages.1.actions.0.actionTypeId",
            kind("Build", "Jenkins", owner="Custom"),
            "Custom Build Jenkins 1",
        ),
        ("stages.2.actions.0.actionTypeId", kind("Deploy", "ECS"), "AWS Deploy ECS 1"),
        (
            "stages.2.actions.0.actionTypeId",
            kind("Deploy", "CloudFormation", version="2"),
            "CloudFormation 2",
        ),
        (
            "stages.2.actions.0.configuration.ActionMode",
            "CHANGE_SET_EXECUTE",
            "ActionMode CHANGE_SET_EXECUTE",
        ),
        ("stages.0.actions.0.configuration.PollForSourceChanges", "true", "PollForSourceChanges true"),
        ("stages.0.actions.0.configuration.PollForSourceChanges", None, "PollForSourceChanges true"),
        (
            "stages.0.actions.0.configuration.OutputArtifactFormat",
            "CODEBUILD_CLONE_REF",
            "OutputArtifactFormat CODEBUILD_CLONE_REF",
        ),
    ],
)
def test_what_only_aws_has_is_refused_by_name(path, value, message):
    with pytest.raises(Refused, match=f"Unsupported: .*{message}.* is not part of the local cloud"):
        check(changed(path, value), "us-east-1")


def test_a_reference_to_a_parallel_action_is_refused():
    whole = changed("stages.2.actions.1.runOrder", 1)
    whole["stages"][2]["actions"][0]["namespace"] = "Flow"
    whole["stages"][2]["actions"][1]["configuration"]["UserParameters"] = "#{Flow.Arn}"

    with pytest.raises(ServiceError, match="is not the namespace of an earlier action"):
        check(whole, "us-east-1")


# variables


def test_references_are_replaced_by_their_values():
    known = {"Source": {"CommitId": "abc"}, "variables": {"A-b@c_1": "7"}}

    assert "abc/7/abc ${x} #x" == variables.resolve(
        "#{Source.CommitId}/#{variables.A-b@c_1}/#{Source.CommitId} ${x} #x", known
    )


@pytest.mark.parametrize("text", ["Source.Branch", "Nowhere.X", "Source", "a.b.c", ""])
def test_a_reference_to_nothing_names_itself(text):
    with pytest.raises(variables.Unresolved, match=f"^{text}$"):
        variables.resolve(f"before #{{{text}}}", {"Source": {"CommitId": "abc"}})


def test_a_value_that_looks_like_a_reference_is_not_resolved_again():
    known = {"A": {"b": "#{A.c}", "c": "secret"}}

    assert "#{A.c}" == variables.resolve("#{A.b}", known)


# what happens next

STAGES = (StagePlan("One", (("a",),)), StagePlan("Two", (("b", "c"), ("d",))), StagePlan("Three", (("e",),)))


def run(number=1, **changes):
    return Run(
        **{
            "id": f"run-{number}",
            "pipeline": "p",
            "version": 1,
            "number": number,
            "started": "0",
            "updated": "0",
            "trigger": "StartPipelineExecution",
            **changes,
        }
    )


def begun(run_, action, status="InProgress"):
    stage = run_.stages[-1]
    attempt = ActionRun(
        id=f"{run_.id}-{action}-{stage.attempt}",
        stage=stage.name,
        action=action,
        attempt=stage.attempt,
        started="1",
        updated="1",
        status=status,
    )
    return run_.begin(attempt)


def at(number, index, *, passed=True):
    """A run that has passed the stages before *index* and, unless *passed*, is in the stage of that index."""
    one = run(number)
    for stage in STAGES[:index]:
        one = one.enter(stage.name, "1").close_stage("Succeeded", "1")
    return one if passed else one.enter(STAGES[index].name, "1")


def test_a_plan_groups_actions_by_run_order():
    assert (
        StagePlan("Source", (("Code",),)),
        StagePlan("Build", (("Image",),)),
        StagePlan("Deploy", (("Flow",), ("Train",), ("Approve",))),
    ) == plan(declaration())


def test_nothing_happens_without_runs():
    assert next_step(STAGES, []) is None


def test_a_run_enters_the_first_stage_and_begins_its_actions():
    one = run()

    assert Enter("run-1", "One") == next_step(STAGES, [one])
    assert Begin("run-1", "One", "a") == next_step(STAGES, [one.enter("One", "1")])


def test_actions_of_one_order_run_in_parallel_and_the_next_order_waits_for_all():
    one = begun(at(1, 1, passed=False), "b")

    assert Begin("run-1", "Two", "c") == next_step(STAGES, [one])
    both = begun(one, "c", "Succeeded")
    assert next_step(STAGES, [both]) is None
    done = both.change("run-1-b-1", "2", status="Succeeded")
    assert Begin("run-1", "Two", "d") == next_step(STAGES, [done])


def test_a_stage_fails_only_when_its_parallel_actions_have_ended():
    one = begun(begun(at(1, 1, passed=False), "b", "Failed"), "c")

    assert next_step(STAGES, [one]) is None
    ended = one.change("run-1-c-1", "2", status="Succeeded")
    assert CloseStage("run-1", "Failed") == next_step(STAGES, [ended])
    assert Close("run-1", "Failed") == next_step(STAGES, [ended.close_stage("Failed", "3")])


def test_a_run_that_passed_the_last_stage_succeeds():
    assert Close("run-1", "Succeeded") == next_step(STAGES, [at(1, 3)])


def test_one_run_is_in_a_stage_at_a_time():
    busy, next_one = begun(at(1, 1, passed=False), "b"), at(2, 1)

    assert Begin("run-1", "Two", "c") == next_step(STAGES, [busy, next_one])
    assert next_step(STAGES, [begun(busy, "c"), next_one]) is None


def test_of_runs_that_wait_for_a_stage_the_newest_supersedes_the_others():
    busy = begun(begun(at(1, 1, passed=False), "b"), "c")

    assert Supersede("run-2", "run-4") == next_step(STAGES, [busy, at(2, 1), at(3, 1), at(4, 1)])
    assert Supersede("run-3", "run-4") == next_step(STAGES, [busy, at(3, 1), at(4, 1)])
    assert next_step(STAGES, [busy, at(4, 1)]) is None


def test_runs_that_wait_for_different_stages_do_not_supersede_each_other():
    in_two = begun(begun(at(1, 1, passed=False), "b"), "c")
    in_one = begun(at(3, 0, passed=False), "a")

    assert next_step(STAGES, [in_two, at(2, 1), in_one, at(4, 0)]) is None


def test_a_closed_transition_keeps_a_run_waiting():
    assert next_step(STAGES, [at(1, 1)], lambda index: index != 1) is None


def test_a_failed_stage_lets_the_next_run_in():
    failed = begun(at(1, 1, passed=False), "b", "Failed").close_stage("Failed", "1").close("Failed", "1")

    assert Enter("run-2", "Two") == next_step(STAGES, [failed, at(2, 1)])


def test_a_stopping_run_waits_for_its_actions_and_begins_none():
    one = begun(at(1, 1, passed=False), "b").stop("enough", "2", abandon=False)

    assert next_step(STAGES, [one]) is None
    ended = one.change("run-1-b-1", "3", status="Succeeded")
    assert CloseStage("run-1", "Stopped") == next_step(STAGES, [ended])
    assert Close("run-1", "Stopped") == next_step(STAGES, [ended.close_stage("Stopped", "3")])


def test_a_stopping_run_that_waits_between_stages_ends_at_once():
    assert Close("run-1", "Stopped") == next_step(STAGES, [at(1, 1).stop("enough", "2", abandon=False)])


def test_abandoning_ends_running_actions():
    one = begun(at(1, 1, passed=False), "b").stop("now", "2", abandon=True)

    assert ["Abandoned"] == [action.status for action in one.actions]
    assert CloseStage("run-1", "Stopped") == next_step(STAGES, [one])


def failed_in_two():
    one = begun(begun(at(1, 1, passed=False), "b", "Succeeded"), "c", "Failed")
    return one.close_stage("Failed", "2").close("Failed", "2")


def test_a_retry_runs_failed_actions_again_and_keeps_successes():
    again = failed_in_two().retry("3", everything=False)

    assert Begin("run-1", "Two", "c") == next_step(STAGES, [again])
    done = begun(again, "c", "Succeeded")
    assert Begin("run-1", "Two", "d") == next_step(STAGES, [done])


def test_a_retry_of_everything_runs_successes_again_and_a_later_retry_counts_only_those():
    again = failed_in_two().retry("3", everything=True)

    assert Begin("run-1", "Two", "b") == next_step(STAGES, [again])
    failed = (
        begun(begun(again, "b", "Succeeded"), "c", "Failed").close_stage("Failed", "4").close("Failed", "4")
    )
    assert Begin("run-1", "Two", "c") == next_step(STAGES, [failed.retry("5", everything=False)])


# records and events


def test_a_run_survives_its_record():
    artifact = Artifact(name="Code", bucket="b", key="k", revision="abc")
    one = begun(at(2, 1, passed=False), "b").change(
        "run-2-b-1",
        "2",
        status="Failed",
        failure=Failure(code="JobFailed", message="no"),
        inputs=(artifact,),
        memory={"job": "7"},
    )
    one = replace(one, events=({"kind": "k", "detail": {}},))

    assert one == from_record(json.loads(json.dumps(to_record(one))))


def states(before, after):
    told = events.between(before, after, declaration(), "us-east-1")
    return [(event.kind.split()[1], event.detail["state"]) for event in told]


def test_each_move_tells_what_changed_and_nothing_else():
    started = run()
    entered = started.enter("Build", "1")
    working = begun(entered, "Image")
    failed = working.change("run-1-Image-1", "2", status="Failed")
    closed = failed.close_stage("Failed", "2")
    ended = closed.close("Failed", "2")

    assert [("Pipeline", "STARTED")] == states(None, started)
    assert [("Stage", "STARTED")] == states(started, entered)
    assert [("Action", "STARTED")] == states(entered, working)
    assert [] == states(working, working.change("run-1-Image-1", "2", external_id="b:1"))
    assert [("Action", "FAILED")] == states(working, failed)
    assert [("Stage", "FAILED")] == states(failed, closed)
    assert [("Pipeline", "FAILED")] == states(closed, ended)
    assert [("Pipeline", "RESUMED"), ("Stage", "RESUMED")] == states(
        ended, ended.retry("3", everything=False)
    )


def test_abandoning_tells_of_pipeline_stage_and_actions():
    working = begun(run().enter("Build", "1"), "Image")

    assert [("Pipeline", "STOPPING"), ("Stage", "STOPPING"), ("Action", "ABANDONED")] == states(
        working, working.stop("", "2", abandon=True)
    )


def test_a_failed_action_tells_why():
    working = begun(run().enter("Build", "1"), "Image")
    failed = working.change(
        "run-1-Image-1",
        "2",
        status="Failed",
        failure=Failure(code="JobFailed", message="BUILD: make failed"),
        external_id="image:1",
    )

    (event,) = events.between(working, failed, declaration(), "us-east-1")

    assert "CodePipeline Action Execution State Change" == event.kind
    expected = {
        "pipeline": "p",
        "execution-id": "run-1",
        "stage": "Build",
        "action": "Image",
        "state": "FAILED",
        "region": "us-east-1",
        "version": 1.0,
        "type": {"owner": "AWS", "provider": "CodeBuild", "category": "Build", "version": "1"},
        "execution-result": {
            "external-execution-summary": "BUILD: make failed",
            "external-execution-id": "image:1",
            "error-code": "JobFailed",
        },
    }
    assert expected == {key: event.detail[key] for key in expected}
