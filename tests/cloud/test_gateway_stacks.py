"""CloudFormation: each property takes effect, and what does not exist here is refused by name."""

import json
import re
import time

import pytest
from botocore.exceptions import ClientError
from stacks import a_function, eventually, trust

ROLE = "arn:aws:iam::000000000000:role/"


def test_every_property_of_a_bucket_takes_effect(cloud, deploy, unique):
    def bucket(**more):
        return {"B": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": unique, **more}}}

    deploy(
        bucket(
            BucketEncryption={
                "ServerSideEncryptionConfiguration": [
                    {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
                ]
            },
            LifecycleConfiguration={
                "Rules": [
                    {"Id": "a", "Status": "Enabled", "Prefix": "tmp/", "ExpirationInDays": 7},
                    {
                        "Id": "b",
                        "Status": "Enabled",
                        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 3},
                    },
                    {"Id": "c", "Status": "Enabled", "NoncurrentVersionExpiration": {"NoncurrentDays": 90}},
                ]
            },
            OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
            PublicAccessBlockConfiguration={"BlockPublicAcls": True, "BlockPublicPolicy": True},
            VersioningConfiguration={"Status": "Enabled"},
            Tags=[{"Key": "k", "Value": "v"}],
            NotificationConfiguration={"EventBridgeConfiguration": {"EventBridgeEnabled": True}},
        )
    )
    s3 = cloud.client("s3")

    rules = s3.get_bucket_encryption(Bucket=unique)["ServerSideEncryptionConfiguration"]["Rules"]
    assert "AES256" == rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"]
    rules = {rule["ID"]: rule for rule in s3.get_bucket_lifecycle_configuration(Bucket=unique)["Rules"]}
    assert (7, "tmp/") == (rules["a"]["Expiration"]["Days"], rules["a"]["Filter"]["Prefix"])
    assert 3 == rules["b"]["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"]
    assert 90 == rules["c"]["NoncurrentVersionExpiration"]["NoncurrentDays"]
    owner = s3.get_bucket_ownership_controls(Bucket=unique)["OwnershipControls"]["Rules"]
    assert [{"ObjectOwnership": "BucketOwnerEnforced"}] == owner
    block = s3.get_public_access_block(Bucket=unique)["PublicAccessBlockConfiguration"]
    assert (True, True, False) == (
        block["BlockPublicAcls"],
        block["BlockPublicPolicy"],
        block["IgnorePublicAcls"],
    )
    assert "Enabled" == s3.get_bucket_versioning(Bucket=unique)["Status"]
    assert {"Key": "k", "Value": "v"} in s3.get_bucket_tagging(Bucket=unique)["TagSet"]
    assert "EventBridgeConfiguration" in s3.get_bucket_notification_configuration(Bucket=unique)

    deploy(bucket())

    assert "Suspended" == s3.get_bucket_versioning(Bucket=unique)["Status"]
    for gone in ("get_bucket_lifecycle_configuration", "get_bucket_tagging"):
        with pytest.raises(ClientError):
            getattr(s3, gone)(Bucket=unique)


def test_a_full_bucket_is_not_deleted_with_its_stack(cloud, deploy, unique):
    deploy({"B": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": unique}}})
    cloud.client("s3").put_object(Bucket=unique, Key="x", Body=b"1")

    assert "DELETE_FAILED" == deploy.delete()
    assert cloud.client("s3").get_object(Bucket=unique, Key="x")

    cloud.client("s3").delete_object(Bucket=unique, Key="x")
    assert "DELETE_COMPLETE" == deploy.delete()


def test_every_property_of_a_table_takes_effect(cloud, deploy, unique):
    def table(**more):
        properties = {
            "TableName": unique,
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "BillingMode": "PAY_PER_REQUEST",
            **more,
        }
        return {"T": {"Type": "AWS::DynamoDB::Table", "Properties": properties}}

    deploy(
        table(
            TimeToLiveSpecification={"AttributeName": "expires", "Enabled": True},
            PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
            SSESpecification={"SSEEnabled": True},
            DeletionProtectionEnabled=True,
            Tags=[{"Key": "k", "Value": "v"}],
        )
    )
    dynamodb = cloud.client("dynamodb")
    described = dynamodb.describe_table(TableName=unique)["Table"]

    live = dynamodb.describe_time_to_live(TableName=unique)["TimeToLiveDescription"]
    assert {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires"} == live
    backups = dynamodb.describe_continuous_backups(TableName=unique)["ContinuousBackupsDescription"]
    assert "ENABLED" == backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"]
    assert "ENABLED" == described["SSEDescription"]["Status"]
    assert described["DeletionProtectionEnabled"]
    tags = dynamodb.list_tags_of_resource(ResourceArn=described["TableArn"])["Tags"]
    assert {"Key": "k", "Value": "v"} in tags

    assert "DELETE_FAILED" == deploy.delete()
    assert dynamodb.describe_table(TableName=unique)

    dynamodb.update_table(TableName=unique, DeletionProtectionEnabled=False)
    assert "DELETE_COMPLETE" == deploy.delete()


def test_every_property_of_a_function_takes_effect(cloud, deploy, unique):
    deploy(
        a_function(
            unique,
            Architectures=["arm64"],
            DeadLetterConfig={"TargetArn": "arn:aws:sqs:us-east-1:000000000000:dead"},
            Environment={"Variables": {"A": "b"}},
            MemorySize=512,
            ReservedConcurrentExecutions=3,
            Timeout=7,
            Tags=[{"Key": "k", "Value": "v"}],
        )
    )
    found = cloud.client("lambda").get_function(FunctionName=unique)
    config = found["Configuration"]

    assert (["arm64"], 512, 7) == (config["Architectures"], config["MemorySize"], config["Timeout"])
    assert {"A": "b"} == config["Environment"]["Variables"]
    assert "arn:aws:sqs:us-east-1:000000000000:dead" == config["DeadLetterConfig"]["TargetArn"]
    assert 3 == found["Concurrency"]["ReservedConcurrentExecutions"]
    assert "v" == found["Tags"]["k"]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"Runtime": "nodejs20.x"}, "the runtime nodejs20.x is not part of the local cloud"),
        ({"Role": ROLE + "nobody"}, "role/nobody.*does not exist"),
        ({"Code": {"S3Bucket": "nowhere", "S3Key": "x.zip"}}, "NoSuch"),
        ({"PackageType": "Image", "Code": {"ImageUri": "x"}}, "Image is not part of the local cloud"),
    ],
)
def test_a_function_that_cannot_run_is_refused(cloud, deploy, unique, wrong, reason):
    assert re.search(reason, deploy(a_function(unique, **wrong)))


def test_a_role_that_does_not_trust_lambda_is_refused(cloud, deploy, role, unique):
    other = role(cloud, [], "states.amazonaws.com")

    assert "cannot be assumed by lambda.amazonaws.com" in deploy(a_function(unique, Role=other))


@pytest.mark.parametrize(
    ("kind", "properties", "named"),
    [
        (
            "AWS::S3::Bucket",
            {"AccelerateConfiguration": {}, "BucketName": "x"},
            "AWS::S3::Bucket.AccelerateConfig",
        ),
        ("AWS::S3::Bucket", {"BukcetName": "typo"}, "AWS::S3::Bucket.BukcetName"),
        ("AWS::EKS::Cluster", {}, "AWS::EKS::Cluster is not part of the local cloud"),
        ("AWS::ApiGateway::RestApi", {"Body": {}}, "AWS::ApiGateway::RestApi.Body"),
        ("AWS::SNS::Topic", {"FifoTopic": True}, "AWS::SNS::Topic.FifoTopic"),
        ("AWS::CodeCommit::Repository", {"Colour": "red"}, "AWS::CodeCommit::Repository.Colour"),
        ("AWS::Nothing::AtAll", {}, "AWS::Nothing::AtAll"),
    ],
)
def test_what_is_not_here_is_refused_by_name_before_anything_is_made(cloud, deploy, kind, properties, named):
    with pytest.raises(ClientError, match=named):
        deploy({"X": {"Type": kind, "Properties": properties}})


def test_a_boundary_limits_a_role(cloud, deploy, unique):
    deploy(
        {
            "P": {
                "Type": "AWS::IAM::ManagedPolicy",
                "Properties": {
                    "ManagedPolicyName": unique,
                    "PolicyDocument": {
                        "Version": "2012-10-17",
                        "Statement": [{"Effect": "Allow", "Action": "sqs:*", "Resource": "*"}],
                    },
                },
            },
            "R": {
                "Type": "AWS::IAM::Role",
                "Properties": {
                    "RoleName": unique,
                    "AssumeRolePolicyDocument": trust("lambda.amazonaws.com"),
                    "PermissionsBoundary": {"Ref": "P"},
                },
            },
        }
    )

    boundary = cloud.client("iam").get_role(RoleName=unique)["Role"]["PermissionsBoundary"]
    assert boundary["PermissionsBoundaryArn"].endswith(f"policy/{unique}")


def test_a_log_group_keeps_its_retention(cloud, deploy, unique):
    deploy(
        {"L": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": unique, "RetentionInDays": 7}}}
    )

    groups = cloud.client("logs").describe_log_groups(logGroupNamePrefix=unique)["logGroups"]
    assert [7] == [each["retentionInDays"] for each in groups]


def test_a_state_machine_runs_its_definition_with_substitutions_and_logs_it(cloud, deploy, unique):
    definition = {"StartAt": "Say", "States": {"Say": {"Type": "Pass", "Result": "${Word}", "End": True}}}
    log = {"LogGroupArn": {"Fn::GetAtt": ["L", "Arn"]}}
    made = deploy(
        {
            "L": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": unique}},
            "R": {
                "Type": "AWS::IAM::Role",
                "Properties": {"AssumeRolePolicyDocument": trust("states.amazonaws.com")},
            },
            "M": {
                "Type": "AWS::StepFunctions::StateMachine",
                "Properties": {
                    "StateMachineName": unique,
                    "RoleArn": {"Fn::GetAtt": ["R", "Arn"]},
                    "DefinitionString": json.dumps(definition),
                    "DefinitionSubstitutions": {"Word": "hello"},
                    "LoggingConfiguration": {
                        **{"Level": "ALL", "IncludeExecutionData": True},
                        **{"Destinations": [{"CloudWatchLogsLogGroup": log}]},
                    },
                },
            },
        },
        {"Arn": {"Ref": "M"}},
    )
    states = cloud.client("stepfunctions")
    execution = states.start_execution(stateMachineArn=made["Arn"])["executionArn"]
    for _ in range(200):
        if (found := states.describe_execution(executionArn=execution))["status"] != "RUNNING":
            break
        time.sleep(0.05)

    assert '"hello"' == found["output"]
    events = cloud.client("logs").filter_log_events(logGroupName=unique)["events"]
    kinds = [json.loads(each["message"])["type"] for each in events]
    assert ["ExecutionStarted", "PassStateEntered", "PassStateExited", "ExecutionSucceeded"] == kinds


def test_a_rule_with_a_target_that_is_not_here_is_refused(cloud, deploy):
    target = {"Id": "1", "Arn": "arn:aws:kinesis:us-east-1:000000000000:stream/s"}
    rule = {"EventPattern": {"source": ["x"]}, "Targets": [target]}

    reason = deploy({"R": {"Type": "AWS::Events::Rule", "Properties": rule}})

    assert "kinesis" in reason


def test_an_invalid_event_pattern_is_refused(cloud, deploy):
    rule = {"EventPattern": {"source": "not a list"}}

    assert "Event pattern is not valid" in deploy({"R": {"Type": "AWS::Events::Rule", "Properties": rule}})


def test_an_update_that_yields_a_new_name_replaces_and_deletes_the_old(cloud, deploy, unique):
    def repository(name):
        return {"C": {"Type": "AWS::CodeCommit::Repository", "Properties": {"RepositoryName": name}}}

    deploy(repository(f"{unique}-a"))
    deploy(repository(f"{unique}-b"))

    names = [
        each["repositoryName"] for each in cloud.client("codecommit").list_repositories()["repositories"]
    ]
    assert [f"{unique}-b"] == [name for name in names if name.startswith(unique)]


def test_a_message_that_is_set_aside_raises_the_queues_alarm_and_its_topic_tells(cloud, deploy, unique):
    said = deploy(
        {
            "Aside": {"Type": "AWS::SQS::Queue"},
            "Desk": {"Type": "AWS::SQS::Queue"},
            "Topic": {"Type": "AWS::SNS::Topic"},
            "Policy": {
                "Type": "AWS::SQS::QueuePolicy",
                "Properties": {
                    "Queues": [{"Ref": "Desk"}],
                    "PolicyDocument": {
                        "Version": "2012-10-17",
                        "Statement": [
                            {
                                **{"Effect": "Allow", "Action": "sqs:SendMessage"},
                                "Principal": {"Service": "sns.amazonaws.com"},
                                "Resource": {"Fn::GetAtt": ["Desk", "Arn"]},
                            }
                        ],
                    },
                },
            },
            "Subscription": {
                "Type": "AWS::SNS::Subscription",
                "DependsOn": "Policy",
                "Properties": {
                    **{"Protocol": "sqs", "TopicArn": {"Ref": "Topic"}},
                    "Endpoint": {"Fn::GetAtt": ["Desk", "Arn"]},
                },
            },
            "Alarm": {
                "Type": "AWS::CloudWatch::Alarm",
                "Properties": {
                    **{"Namespace": "AWS/SQS", "MetricName": "ApproximateNumberOfMessagesVisible"},
                    "Dimensions": [
                        {"Name": "QueueName", "Value": {"Fn::GetAtt": ["Aside", "QueueName"]}},
                    ],
                    **{"Statistic": "Maximum", "Period": 60, "EvaluationPeriods": 1, "Threshold": 0},
                    **{"ComparisonOperator": "GreaterThanThreshold", "TreatMissingData": "notBreaching"},
                    "AlarmActions": [{"Ref": "Topic"}],
                },
            },
        },
        outputs={"Aside": {"Ref": "Aside"}, "Desk": {"Ref": "Desk"}, "Alarm": {"Ref": "Alarm"}},
    )
    sqs, cloudwatch = cloud.client("sqs"), cloud.client("cloudwatch")

    def state():
        return cloudwatch.describe_alarms(AlarmNames=[said["Alarm"]])["MetricAlarms"][0]["StateValue"]

    eventually(lambda: state() == "OK")
    sqs.send_message(QueueUrl=said["Aside"], MessageBody="could not be done")
    eventually(lambda: state() == "ALARM")
    told = eventually(lambda: sqs.receive_message(QueueUrl=said["Desk"], WaitTimeSeconds=1).get("Messages"))
    assert said["Alarm"] == json.loads(json.loads(told[0]["Body"])["Message"])["AlarmName"]
