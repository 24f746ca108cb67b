"""Functions run in a bare environment, as their role, and fail as they do on AWS."""

import io
import json
import textwrap
import zipfile

import pytest

ANYONE = "arn:aws:iam::000000000000:role/nobody"


def zipped(**files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__", "/") + ".py", textwrap.dedent(text))
    return buffer.getvalue()


@pytest.fixture
def call(cloud, role, unique):
    """Deploy a function of one module and call it."""
    functions, made = cloud.client("lambda"), []

    def deploy(source, event=None, *, statements=(), name=unique, **settings):
        arn = role(cloud, list(statements), "lambda.amazonaws.com")
        functions.create_function(
            **{"FunctionName": name, "Role": arn, "Runtime": "python3.12", "Handler": "main.handler"}
            | {"Code": {"ZipFile": zipped(main=source)}, "Timeout": 10}
            | settings
        )
        made.append(name)
        return again(name, event)

    def again(name, event=None):
        answer = functions.invoke(FunctionName=name, Payload=json.dumps(event), LogType="Tail")
        return json.loads(answer["Payload"].read())

    deploy.again = again
    yield deploy
    for name in made:
        functions.delete_function(FunctionName=name)


@pytest.mark.parametrize("module", ["rich", "yaml", "ministack", "atelier", "click", "pip"])
def test_an_import_that_nobody_bundled_fails(call, module):
    answer = call(f"import {module}\ndef handler(event, context): return 'imported'")

    assert "Runtime.ImportModuleError" == answer["errorType"]
    assert f"Unable to import module 'main': No module named '{module}'" == answer["errorMessage"]


def test_boto3_comes_with_the_runtime_and_calls_as_the_functions_role(call):
    source = """
        import boto3
        def handler(event, context):
            return boto3.client("sts").get_caller_identity()["Arn"]
    """

    assert ":assumed-role/r" in call(source)


def test_a_function_may_do_what_its_role_may_and_no_more(call, cloud, unique):
    source = """
        import boto3
        def handler(event, context):
            s3 = boto3.client("s3")
            s3.put_object(Bucket=event, Key="allowed/x", Body=b"1")
            s3.put_object(Bucket=event, Key="other/x", Body=b"1")
    """
    cloud.client("s3").create_bucket(Bucket=unique)
    allowed = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{unique}/allowed/*"}

    answer = call(source, unique, statements=[allowed])

    assert "AccessDenied" in answer["errorMessage"]
    keys = [each["Key"] for each in cloud.client("s3").list_objects_v2(Bucket=unique)["Contents"]]
    assert ["allowed/x"] == keys


def test_a_functions_environment_is_its_own(call):
    source = "import os\ndef handler(event, context): return dict(os.environ)"

    seen = call(source, Environment={"Variables": {"TABLE_NAME": "t"}})

    assert "t" == seen["TABLE_NAME"]
    assert "us-east-1" == seen["AWS_REGION"]
    foreign = [
        name for name in seen if name.startswith(("ATELIER", "PIP", "MINISTACK", "STATE", "S3_", "GATEWAY"))
    ]
    assert [] == foreign
    assert seen["HOME"] == seen["TMPDIR"]


def test_a_layer_is_found_under_opt_python(call, cloud, unique):
    layer = cloud.client("lambda").publish_layer_version(
        LayerName=unique, Content={"ZipFile": zipped(python__greeting="def hello(): return 'hello'")}
    )
    source = "import greeting\ndef handler(event, context): return greeting.hello()"

    assert "hello" == call(source, Layers=[layer["LayerVersionArn"]])


def test_a_handlers_exception_keeps_its_type_and_its_process(call, unique):
    source = """
        class Unwell(Exception): pass
        count = 0
        def handler(event, context):
            global count
            count += 1
            if event == "fail": raise Unwell("no luck")
            return count
    """

    failed = call(source, "fail")

    assert ("Unwell", "no luck") == (failed["errorType"], failed["errorMessage"])
    assert "raise Unwell" in "".join(failed["stackTrace"])
    assert 2 == call.again(unique)


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("def handler(event, context): return object()", "Runtime.MarshalError"),
        ("def other(event, context): return 1", "Runtime.HandlerNotFound"),
        ("def handler(event, context)", "Runtime.UserCodeSyntaxError"),
        ("raise KeyError('TABLE')", "KeyError"),
        ("import os\ndef handler(event, context): os._exit(3)", "Runtime.ExitError"),
    ],
)
def test_failures_are_named_as_lambda_names_them(call, source, error):
    assert error == call(source)["errorType"]


def test_a_function_that_takes_too_long_is_ended(call):
    answer = call("import time\ndef handler(event, context): time.sleep(60)", Timeout=1)

    assert "Sandbox.Timedout" == answer["errorType"]


def test_what_a_function_prints_is_its_log(call, cloud, unique):
    source = """
        import logging, subprocess, sys
        print("at import")
        def handler(event, context):
            print("printed")
            logging.getLogger().warning("warned")
            subprocess.run(["echo", "from a child"])
            sys.stdout.write("no newline")
            return 1
    """

    assert 1 == call(source)

    logs = cloud.client("logs")
    events = logs.filter_log_events(logGroupName=f"/aws/lambda/{unique}")["events"]
    text = "\n".join(each["message"] for each in events)
    for expected in ("at import", "printed", "warned", "from a child", "no newline"):
        assert expected in text


def test_a_function_can_log_json(call, cloud, unique):
    source = """
        import logging
        def handler(event, context):
            logging.getLogger("shop").info("sold %s", 3)
    """
    call(source, LoggingConfig={"LogFormat": "JSON", "LogGroup": f"/aws/lambda/{unique}"})

    events = cloud.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{unique}")["events"]
    line = json.loads(next(each["message"] for each in events if "sold" in each["message"]))
    assert ("INFO", "sold 3", "shop") == (line["level"], line["message"], line["logger"])


def test_other_runtimes_are_refused_by_name(call):
    assert "nodejs20.x is not part of the local cloud" in call("", Runtime="nodejs20.x")["errorMessage"]


def test_more_calls_than_processes_wait_for_their_turn(call, unique):
    from concurrent.futures import ThreadPoolExecutor

    call("import time\ndef handler(event, context):\n  time.sleep(.05)\n  return event")

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda number: call.again(unique, number), range(20)))

    assert list(range(20)) == answers
