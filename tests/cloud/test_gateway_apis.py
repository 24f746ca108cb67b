"""API Gateway: an API answers as its template says, to its key's holder only, and logs each request."""

import http.client
import json

from stacks import a_function

ACCESS_LOG = '{"status": "$context.status", "at": "$context.resourcePath", "x": "$context.x"}'
API_SOURCE = """
import json
def handler(event, context):
    if event["path"].endswith("/broken"):
        raise RuntimeError("a secret detail")
    return {"statusCode": 200, "body": event["body"]}
"""


def an_api(unique, *, permitted=True, timeout=29000, source=API_SOURCE):
    api, model = {"Ref": "Api"}, {"type": "object", "required": ["prompt"]}
    model |= {"properties": {"prompt": {"type": "string", "maxLength": 10}}, "additionalProperties": False}
    uri = {
        "Fn::Sub": "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/${F.Arn}/invocations",
    }
    proxy = {"Type": "AWS_PROXY", "IntegrationHttpMethod": "POST", "Uri": uri, "TimeoutInMillis": timeout}
    method = {"RestApiId": api, "HttpMethod": "POST", "AuthorizationType": "NONE", "Integration": proxy}
    resources = a_function(unique, Code={"ZipFile": source}) | {
        "L": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": f"access-{unique}"}},
        "Api": {
            "Type": "AWS::ApiGateway::RestApi",
            "Properties": {
                **{"Name": unique, "ApiKeySourceType": "HEADER"},
                "EndpointConfiguration": {"Types": ["REGIONAL"]},
            },
        },
        "Path": {
            "Type": "AWS::ApiGateway::Resource",
            "Properties": {
                "RestApiId": api,
                "ParentId": {"Fn::GetAtt": ["Api", "RootResourceId"]},
                "PathPart": "c",
            },
        },
        "Broken": {
            "Type": "AWS::ApiGateway::Resource",
            "Properties": {"RestApiId": api, "ParentId": {"Ref": "Path"}, "PathPart": "broken"},
        },
        "Model": {
            "Type": "AWS::ApiGateway::Model",
            "Properties": {
                "RestApiId": api,
                "Name": "Asked",
                "ContentType": "application/json",
                "Schema": model,
            },
        },
        "Validator": {
            "Type": "AWS::ApiGateway::RequestValidator",
            "Properties": {"RestApiId": api, "Name": "body", "ValidateRequestBody": True},
        },
        "Post": {
            "Type": "AWS::ApiGateway::Method",
            "Properties": {
                **method,
                **{
                    "ResourceId": {"Ref": "Path"},
                    "ApiKeyRequired": True,
                    "RequestValidatorId": {"Ref": "Validator"},
                },
                **{"RequestModels": {"application/json": {"Ref": "Model"}}},
            },
        },
        "PostBroken": {
            "Type": "AWS::ApiGateway::Method",
            "Properties": {**method, "ResourceId": {"Ref": "Broken"}, "ApiKeyRequired": True},
        },
        "Refusal": {
            "Type": "AWS::ApiGateway::GatewayResponse",
            "Properties": {
                **{"RestApiId": api, "ResponseType": "INVALID_API_KEY", "StatusCode": "403"},
                "ResponseTemplates": {"application/json": '{"message": "send a key"}'},
            },
        },
        "Deployment": {
            **{"Type": "AWS::ApiGateway::Deployment", "Properties": {"RestApiId": api}},
            "DependsOn": ["Post", "PostBroken", "Refusal"],
        },
        "Stage": {
            "Type": "AWS::ApiGateway::Stage",
            "Properties": {
                **{"RestApiId": api, "DeploymentId": {"Ref": "Deployment"}, "StageName": "live"},
                "AccessLogSetting": {
                    "DestinationArn": {"Fn::GetAtt": ["L", "Arn"]},
                    "Format": ACCESS_LOG,
                },
            },
        },
        "Key": {
            "Type": "AWS::ApiGateway::ApiKey",
            "Properties": {"Enabled": True, "Value": f"{unique}-0123456789-0123456789"},
        },
        "Plan": {
            "Type": "AWS::ApiGateway::UsagePlan",
            "Properties": {"ApiStages": [{"ApiId": api, "Stage": {"Ref": "Stage"}}]},
        },
        "PlanKey": {
            "Type": "AWS::ApiGateway::UsagePlanKey",
            "Properties": {"KeyId": {"Ref": "Key"}, "KeyType": "API_KEY", "UsagePlanId": {"Ref": "Plan"}},
        },
    }
    if permitted:
        arn = {"Fn::Sub": "arn:aws:execute-api:us-east-1:000000000000:${Api}/*/POST/*"}
        resources["Permission"] = {
            "Type": "AWS::Lambda::Permission",
            "Properties": {
                **{"Action": "lambda:InvokeFunction", "FunctionName": {"Ref": "F"}, "SourceArn": arn},
                "Principal": "apigateway.amazonaws.com",
            },
        }
    return resources


def ask(cloud, api, body, key=None, path="/c"):
    connection = http.client.HTTPConnection(cloud.endpoint.removeprefix("http://"), timeout=30)
    headers = {"content-type": "application/json", **({"x-api-key": key} if key else {})}
    try:
        connection.request("POST", f"/_aws/execute-api/{api}/live{path}", body, headers)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def test_an_api_answers_as_its_template_says(cloud, deploy, unique):
    api = deploy(an_api(unique), {"Id": {"Ref": "Api"}})["Id"]
    key = f"{unique}-0123456789-0123456789"

    assert (200, '{"prompt": "hi"}') == ask(cloud, api, '{"prompt": "hi"}', key)
    assert (403, '{"message": "send a key"}') == ask(cloud, api, '{"prompt": "hi"}')
    assert 403 == ask(cloud, api, '{"prompt": "hi"}', "another key")[0]
    for wrong in ("{", '{"prompt": 7}', '{"prompt": "much too long"}', '{"prompt": "a", "b": 1}', "{}", "[]"):
        assert 400 == ask(cloud, api, wrong, key)[0], wrong
    assert 413 == ask(cloud, api, '{"prompt": "' + "x" * 7_000_000 + '"}', key, "/c/broken")[0]
    status, text = ask(cloud, api, "{}", key, "/c/broken")
    assert (502, "secret" in text) == (status, False)
    lines = cloud.client("logs").filter_log_events(logGroupName=f"access-{unique}")["events"]
    first = json.loads(lines[0]["message"])
    assert {"status": "200", "at": "/c", "x": "-"} == first


def test_an_api_is_reached_by_its_host_name_too(cloud, deploy, unique):
    api = deploy(an_api(unique), {"Id": {"Ref": "Api"}})["Id"]
    connection = http.client.HTTPConnection(cloud.endpoint.removeprefix("http://"), timeout=30)
    headers = {"Host": f"{api}.execute-api.us-east-1.amazonaws.com", "content-type": "application/json"}
    headers["x-api-key"] = f"{unique}-0123456789-0123456789"
    connection.request("POST", "/live/c", '{"prompt": "hi"}', headers)
    response = connection.getresponse()

    assert (200, b'{"prompt": "hi"}') == (response.status, response.read())
    connection.close()


def test_an_api_without_permission_does_not_reach_its_function(cloud, deploy, unique):
    api = deploy(an_api(unique, permitted=False), {"Id": {"Ref": "Api"}})["Id"]

    assert 500 == ask(cloud, api, '{"prompt": "hi"}', f"{unique}-0123456789-0123456789")[0]


def test_an_integration_that_takes_too_long_is_given_up(cloud, deploy, unique):
    slow = "import time\ndef handler(event, context):\n  time.sleep(2)\n  return {'statusCode': 200}"
    api = deploy(an_api(unique, timeout=300, source=slow), {"Id": {"Ref": "Api"}})["Id"]

    assert 504 == ask(cloud, api, '{"prompt": "hi"}', f"{unique}-0123456789-0123456789")[0]


def test_a_function_may_say_null_for_a_body_of_nothing(cloud, deploy, unique):
    silent = "def handler(event, context):\n  return {'statusCode': 200, 'body': None}"
    api = deploy(an_api(unique, source=silent), {"Id": {"Ref": "Api"}})["Id"]

    assert (200, "") == ask(cloud, api, '{"prompt": "hi"}', f"{unique}-0123456789-0123456789")


def test_a_call_has_one_id_in_the_function_the_refusal_and_the_log(cloud, deploy, unique):
    source = (
        "import json\n"
        "def handler(event, context):\n"
        "  id, trace = event['requestContext']['requestId'], event['headers']['X-Amzn-Trace-Id']\n"
        "  return {'statusCode': 200, 'body': json.dumps({'id': id, 'trace': trace})}"
    )
    resources = an_api(unique, source=source)
    resources["Stage"]["Properties"]["AccessLogSetting"]["Format"] = "$context.requestId"
    resources["Refusal"]["Properties"]["ResponseTemplates"] = {"application/json": '"$context.requestId"'}
    api = deploy(resources, {"Id": {"Ref": "Api"}})["Id"]

    answered = json.loads(ask(cloud, api, '{"prompt": "hi"}', f"{unique}-0123456789-0123456789")[1])
    refused = json.loads(ask(cloud, api, "{}")[1])

    lines = cloud.client("logs").filter_log_events(logGroupName=f"access-{unique}")["events"]
    assert [answered["id"], refused] == [each["message"] for each in lines]
    assert answered["trace"].startswith("Root=1-")


def test_a_method_is_throttled_by_itself_beside_the_stage(cloud, deploy, unique):
    settings = [
        {"HttpMethod": "*", "ResourcePath": "/*", "ThrottlingRateLimit": 100, "ThrottlingBurstLimit": 100},
        {
            **{"HttpMethod": "POST", "ResourcePath": "/~1c~1broken"},
            **{"ThrottlingRateLimit": 0.01, "ThrottlingBurstLimit": 1},
        },
    ]
    resources = an_api(unique)
    resources["Stage"]["Properties"]["MethodSettings"] = settings
    api, key = deploy(resources, {"Id": {"Ref": "Api"}})["Id"], f"{unique}-0123456789-0123456789"

    assert [502, 429, 429] == [ask(cloud, api, "{}", key, "/c/broken")[0] for _ in range(3)]
    assert [200, 200, 200] == [ask(cloud, api, '{"prompt": "hi"}', key)[0] for _ in range(3)]
