"""The middleware's stacks: what the API lets through, and what each part may touch."""

import json

import pytest
from troposphere import awslambda

from atelier import synth
from atelier.contract import keys, tables
from atelier.contract.operations import OPERATIONS
from atelier.contract.refusals import CORS, GATEWAY_REFUSALS
from atelier.templates import middleware_parts, middleware_state
from atelier.templates.middleware_routes import camel

STATE, JOBS, WORK = "middleware-state", "middleware-jobs", "middleware-work"
API = "middleware-api"


@pytest.fixture(scope="module")
def rendered():
    return {name: json.loads(synth.text(name))["Resources"] for name in (STATE, JOBS, WORK, API)}


def of_type(resources, kind):
    return {title: each["Properties"] for title, each in resources.items() if each["Type"] == kind}


def statements(resources, function):
    return [
        each.get("Fn::If", [None, each])[1]
        for policy in resources[f"{function}Role"]["Properties"]["Policies"]
        for each in policy["PolicyDocument"]["Statement"]
    ]


def actions(resources, function):
    return {action for each in statements(resources, function) for action in each["Action"]}


def function_of(method):
    return method["Integration"]["Uri"]["Fn::Sub"].split("${")[-1].split(".")[0]


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=lambda each: each.id)
def test_every_operation_is_answered_by_its_familys_function_once_the_token_is_known(rendered, operation):
    method = rendered[API][operation.id]["Properties"]
    handler = rendered[API][function_of(method)]["Properties"]["Handler"]

    assert (operation.method, "CUSTOM", "AWS_PROXY") == (
        method["HttpMethod"],
        method["AuthorizationType"],
        method["Integration"]["Type"],
    )
    assert {"Ref": "TokenAuthorizer"} == method["AuthorizerId"]
    assert f"atelier.lambdas.handlers.{operation.family}.handle" == handler


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=lambda each: each.id)
def test_every_operation_is_found_at_its_path(rendered, operation):
    resources = of_type(rendered[API], "AWS::ApiGateway::Resource")

    def path(reference):
        if "Ref" not in reference:
            return ""
        part = resources[reference["Ref"]]
        return f"{path(part['ParentId'])}/{part['PathPart']}"

    assert operation.path == (path(rendered[API][operation.id]["Properties"]["ResourceId"]) or "/")


def test_a_browsers_question_needs_no_token_and_reaches_no_function(rendered):
    for path in {each.path for each in OPERATIONS.values()}:
        method = rendered[API][f"{camel(path)}Preflight"]["Properties"]
        answered = method["Integration"]["IntegrationResponses"][0]["ResponseParameters"]
        assert ("OPTIONS", "NONE", "MOCK") == (
            method["HttpMethod"],
            method["AuthorizationType"],
            method["Integration"]["Type"],
        )
        assert {f"method.response.header.{name}": f"'{value}'" for name, value in CORS.items()} == answered


def test_the_authorizer_is_asked_again_within_a_minute(rendered):
    authorizer = rendered[API]["TokenAuthorizer"]["Properties"]

    assert 60 >= authorizer["AuthorizerResultTtlInSeconds"]
    assert ("REQUEST", "method.request.header.x-api-key") == (
        authorizer["Type"],
        authorizer["IdentitySource"],
    )


@pytest.mark.parametrize("kind", GATEWAY_REFUSALS)
def test_what_the_gateway_refuses_says_so_in_json_that_a_browser_may_read(rendered, kind):
    response = next(
        each
        for each in of_type(rendered[API], "AWS::ApiGateway::GatewayResponse").values()
        if each["ResponseType"] == kind
    )
    template = response["ResponseTemplates"]["application/json"].replace("$context.requestId", "7")

    assert str(GATEWAY_REFUSALS[kind].status) == response["StatusCode"]
    assert {"message": GATEWAY_REFUSALS[kind].message, "requestId": "7"} == json.loads(template)
    assert "'*'" == response["ResponseParameters"]["gatewayresponse.header.Access-Control-Allow-Origin"]


def test_the_picture_of_the_api_is_taken_when_all_of_it_is_there(rendered):
    deployment = next(
        each for each in rendered[API].values() if each["Type"] == "AWS::ApiGateway::Deployment"
    )
    shown = {"AWS::ApiGateway::Method", "AWS::ApiGateway::GatewayResponse"}

    assert {title for title, each in rendered[API].items() if each["Type"] in shown} == set(
        deployment["DependsOn"]
    )


def test_the_log_names_the_caller_and_never_a_token(rendered):
    entry = rendered[API]["Stage"]["Properties"]["AccessLogSetting"]["Format"]

    assert "$context.authorizer.principalId" in entry
    assert not [word for word in ("apiKey", "header", "querystring", "username") if word in entry]


def test_only_what_keeps_the_deployments_token_may_read_its_secret(rendered):
    for name in (JOBS, WORK, API):
        for title in of_type(rendered[name], "AWS::Lambda::Function"):
            reads = "secretsmanager:GetSecretValue" in actions(rendered[name], title)
            assert (title == "TokenKeeper") == reads, title


def test_the_authorizer_may_do_nothing_but_look_a_token_up(rendered):
    assert {"dynamodb:GetItem", "logs:CreateLogStream", "logs:PutLogEvents"} == {
        each for each in actions(rendered[API], "Authorizer") if not each.startswith("xray:")
    }


def test_nothing_may_read_a_whole_table(rendered):
    for resources in rendered.values():
        assert "dynamodb:Scan" not in json.dumps(resources)


@pytest.mark.parametrize(
    "declared", [tables.CHECKPOINTS, tables.ENDPOINTS, tables.INFERENCES, tables.WORK, tables.DATASETS]
)
def test_a_table_has_the_key_and_the_indexes_that_are_declared(declared):
    made = middleware_state.indexed("T", declared).to_dict()["Properties"]

    assert [{"AttributeName": declared.hash, "KeyType": "HASH"}] == made["KeySchema"]
    assert [(each.name, each.hash, each.range) for each in declared.indexes] == [
        (each["IndexName"], *(key["AttributeName"] for key in each["KeySchema"]))
        for each in made["GlobalSecondaryIndexes"]
    ]
    assert {key for each in declared.indexes for key in (each.hash, each.range)} | {declared.hash} == {
        each["AttributeName"] for each in made["AttributeDefinitions"]
    }


def test_every_table_is_encrypted_and_protected_and_what_matters_is_backed_up(rendered):
    for title, table in of_type(rendered[STATE], "AWS::DynamoDB::Table").items():
        recovery = table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"]
        assert (True, title != "Rates") == (table["SSESpecification"]["SSEEnabled"], recovery)
        assert {"Ref": "DeletionProtection"} == table["DeletionProtectionEnabled"]


def test_all_of_the_state_outlives_its_stack(rendered):
    for each in rendered[STATE].values():
        if each["Type"] != "AWS::S3::BucketPolicy":
            assert "Retain" == each["DeletionPolicy"]


def test_an_endpoint_writes_its_answers_and_nothing_else(rendered):
    policy = rendered[STATE]["EndpointRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    written = next(each["Resource"] for each in policy if "s3:PutObject" in each["Action"])

    assert [f"${{Bucket.Arn}}/{each}*" for each in (keys.ASYNC_OUTPUT, keys.ASYNC_FAILURES)] == [
        each["Fn::Sub"] for each in written
    ]
    assert "s3:DeleteObject" not in json.dumps(policy)


def test_a_queue_waits_longer_than_its_function_takes_and_keeps_what_is_lost(rendered):
    sources = of_type(rendered[JOBS], "AWS::Lambda::EventSourceMapping")
    for source in sources.values():
        queue = rendered[JOBS][source["EventSourceArn"]["Fn::GetAtt"][0]]["Properties"]
        function = rendered[JOBS][source["FunctionName"]["Ref"]]["Properties"]
        assert 6 * function["Timeout"] <= queue["VisibilityTimeout"]
        assert rendered[JOBS][queue["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]]
        assert ["ReportBatchItemFailures"] == source["FunctionResponseTypes"]
    assert sources


def test_both_topics_reach_the_queue_and_nothing_else_may_fill_it(rendered):
    allowed = rendered[JOBS]["NoticesPolicy"]["Properties"]["PolicyDocument"]["Statement"][0]
    topics = [each["TopicArn"] for each in of_type(rendered[JOBS], "AWS::SNS::Subscription").values()]

    assert sorted(topics, key=str) == sorted(allowed["Condition"]["ArnEquals"]["aws:SourceArn"], key=str)


def test_the_reconciler_ends_before_the_clock_calls_again(rendered):
    assert "rate(1 minute)" == rendered[JOBS]["Clock"]["Properties"]["ScheduleExpression"]
    assert 60 > rendered[JOBS]["Reconciler"]["Properties"]["Timeout"]


def test_nothing_has_a_fixed_name_that_another_installation_might_want(rendered):
    named = {
        each["Properties"][name]
        for resources in rendered.values()
        for each in resources.values()
        for name in ("TableName", "BucketName", "QueueName", "TopicName", "FunctionName", "RoleName")
        if each["Type"].split("::")[-1] == name.removesuffix("Name") and name in each["Properties"]
    }

    assert set() == named


def test_settings_that_disagree_are_refused_when_templates_are_rendered():
    one, other = (awslambda.Environment(Variables={"BUCKET": each}) for each in ("a", "b"))

    assert {"BUCKET": "a"} == middleware_parts.together(one, one).Variables
    with pytest.raises(ValueError, match="disagree on BUCKET"):
        middleware_parts.together(one, other)


def test_whatever_is_set_aside_calls_those_who_operate_the_middleware(rendered):
    jobs = rendered[JOBS]
    queues = of_type(jobs, "AWS::SQS::Queue")
    takers = {each["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0] for each in queues.values()
              if "RedrivePolicy" in each}  # fmt: skip
    takers |= {
        each["DeadLetterConfig"]["TargetArn"]["Fn::GetAtt"][0]
        for each in of_type(jobs, "AWS::Lambda::Function").values()
        if "DeadLetterConfig" in each
    }
    watched = {
        each["Dimensions"][0]["Value"]["Fn::GetAtt"][0]: each["AlarmActions"]
        for each in of_type(jobs, "AWS::CloudWatch::Alarm").values()
    }

    assert takers
    assert {each: [{"Ref": "OperationsTopicArn"}] for each in takers} == watched


def test_the_deployments_token_is_rotated_by_the_clock_only_where_the_stack_is_told_how_often(rendered):
    rotation = rendered[API]["TokenRotation"]
    document = json.loads(synth.text(API))

    assert ("IsRotated", "0") == (
        rotation["Condition"],
        document["Parameters"]["TokenRotationDays"]["Default"],
    )
    assert {"Ref": "TokenRotationDays"} == rotation["Properties"]["RotationRules"]["AutomaticallyAfterDays"]
    assert {"RotationPermission", "DeploymentTokenDigest"} == set(rotation["DependsOn"])


def test_the_stage_is_throttled_and_operations_that_begin_long_work_by_themselves(rendered):
    settings = rendered[API]["Stage"]["Properties"]["MethodSettings"]
    limits = {(each["HttpMethod"], each["ResourcePath"]): each["ThrottlingRateLimit"] for each in settings}

    costly = ("endpoints", "checkpoints", "trainings", "merges", "datasets~1{id}~1crop")
    assert {("*", "/*"), *(("POST", f"/~1{each}") for each in costly)} == limits.keys()
    assert limits["*", "/*"] == max(limits.values())
