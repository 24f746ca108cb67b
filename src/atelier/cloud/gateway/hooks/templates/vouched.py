"""The types and properties that really take effect here. A template with anything else is refused by name.

Each line was checked against a started cloud: what ministack drops, `completed` adds.
"""

from __future__ import annotations

from collections.abc import Mapping


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


VOUCHED: Mapping[str, frozenset[str]] = {
    "AWS::ApiGateway::Account": _words("CloudWatchRoleArn"),
    "AWS::ApiGateway::ApiKey": _words("CustomerId Description Enabled Name StageKeys Tags Value"),
    "AWS::ApiGateway::Authorizer": _words(
        "AuthType AuthorizerCredentials AuthorizerResultTtlInSeconds AuthorizerUri IdentitySource"
        " IdentityValidationExpression Name RestApiId Type"
    ),
    "AWS::ApiGateway::Deployment": _words("Description RestApiId StageName"),
    "AWS::ApiGateway::GatewayResponse": _words(
        "ResponseParameters ResponseTemplates ResponseType RestApiId StatusCode"
    ),
    "AWS::ApiGateway::Method": _words(
        "ApiKeyRequired AuthorizationScopes AuthorizationType AuthorizerId HttpMethod Integration"
        " MethodResponses OperationName RequestModels RequestParameters RequestValidatorId ResourceId"
        " RestApiId"
    ),
    "AWS::ApiGateway::Model": _words("ContentType Description Name RestApiId Schema"),
    "AWS::ApiGateway::RequestValidator": _words(
        "Name RestApiId ValidateRequestBody ValidateRequestParameters"
    ),
    "AWS::ApiGateway::Resource": _words("ParentId PathPart RestApiId"),
    "AWS::ApiGateway::RestApi": _words(
        "ApiKeySourceType BinaryMediaTypes Description EndpointConfiguration Name Policy Tags"
    ),
    "AWS::ApiGateway::Stage": _words(
        "AccessLogSetting DeploymentId Description MethodSettings RestApiId StageName Tags"
        " TracingEnabled Variables"
    ),
    "AWS::ApiGateway::UsagePlan": _words("ApiStages Description Quota Tags Throttle UsagePlanName"),
    "AWS::ApiGateway::UsagePlanKey": _words("KeyId KeyType UsagePlanId"),
    "AWS::CloudFormation::CustomResource": _words("*"),
    "AWS::CloudFormation::Stack": _words("Parameters Tags TemplateURL"),
    "AWS::CloudFormation::WaitConditionHandle": _words(""),
    "AWS::CloudFront::Distribution": _words("DistributionConfig Tags"),
    "AWS::CloudFront::OriginAccessControl": _words("OriginAccessControlConfig"),
    "AWS::CloudFront::ResponseHeadersPolicy": _words("ResponseHeadersPolicyConfig"),
    "AWS::CloudWatch::Alarm": _words(
        "ActionsEnabled AlarmActions AlarmDescription AlarmName ComparisonOperator DatapointsToAlarm"
        " Dimensions EvaluationPeriods InsufficientDataActions MetricName Namespace OKActions Period"
        " Statistic Tags Threshold TreatMissingData Unit"
    ),
    "AWS::DynamoDB::Table": _words(
        "AttributeDefinitions BillingMode DeletionProtectionEnabled GlobalSecondaryIndexes KeySchema"
        " LocalSecondaryIndexes PointInTimeRecoverySpecification ProvisionedThroughput SSESpecification"
        " StreamSpecification TableName Tags TimeToLiveSpecification"
    ),
    "AWS::Events::EventBus": _words("Description Name Tags"),
    "AWS::Events::Rule": _words(
        "Description EventBusName EventPattern Name ScheduleExpression State Tags Targets"
    ),
    "AWS::IAM::InstanceProfile": _words("InstanceProfileName Path Roles"),
    "AWS::IAM::ManagedPolicy": _words("Description Groups ManagedPolicyName Path PolicyDocument Roles Users"),
    "AWS::IAM::OIDCProvider": _words("ClientIdList Tags ThumbprintList Url"),
    "AWS::IAM::Policy": _words("Groups PolicyDocument PolicyName Roles Users"),
    "AWS::IAM::Role": _words(
        "AssumeRolePolicyDocument Description ManagedPolicyArns MaxSessionDuration Path PermissionsBoundary"
        " Policies RoleName Tags"
    ),
    "AWS::IAM::User": _words("Groups ManagedPolicyArns Path PermissionsBoundary Policies Tags UserName"),
    "AWS::KMS::Alias": _words("AliasName TargetKeyId"),
    "AWS::KMS::Key": _words("Description Enabled EnableKeyRotation KeyPolicy KeySpec KeyUsage Tags"),
    "AWS::Lambda::Alias": _words("Description FunctionName FunctionVersion Name"),
    "AWS::Lambda::EventInvokeConfig": _words(
        "FunctionName MaximumEventAgeInSeconds MaximumRetryAttempts Qualifier"
    ),
    "AWS::Lambda::EventSourceMapping": _words(
        "BatchSize BisectBatchOnFunctionError Enabled EventSourceArn FilterCriteria FunctionName"
        " FunctionResponseTypes MaximumBatchingWindowInSeconds MaximumRecordAgeInSeconds MaximumRetryAttempts"
        " ParallelizationFactor ScalingConfig StartingPosition StartingPositionTimestamp Tags"
    ),
    "AWS::Lambda::Function": _words(
        "Architectures Code DeadLetterConfig Description Environment EphemeralStorage FunctionName Handler"
        " Layers LoggingConfig MemorySize PackageType ReservedConcurrentExecutions Role Runtime Tags Timeout"
        " TracingConfig"
    ),
    "AWS::Lambda::LayerVersion": _words(
        "CompatibleArchitectures CompatibleRuntimes Content Description LayerName LicenseInfo"
    ),
    "AWS::Lambda::Permission": _words(
        "Action EventSourceToken FunctionName Principal PrincipalOrgID SourceAccount SourceArn"
    ),
    "AWS::Lambda::Version": _words("CodeSha256 Description FunctionName"),
    "AWS::Logs::LogGroup": _words("LogGroupClass LogGroupName RetentionInDays Tags"),
    "AWS::S3::Bucket": _words(
        "BucketEncryption BucketName CorsConfiguration LifecycleConfiguration NotificationConfiguration"
        " OwnershipControls PublicAccessBlockConfiguration Tags VersioningConfiguration WebsiteConfiguration"
    ),
    "AWS::S3::BucketPolicy": _words("Bucket PolicyDocument"),
    "AWS::SNS::Subscription": _words(
        "DeliveryPolicy Endpoint FilterPolicy FilterPolicyScope Protocol RawMessageDelivery RedrivePolicy"
        " TopicArn"
    ),
    "AWS::SNS::Topic": _words("DisplayName Subscription Tags TopicName"),
    "AWS::SNS::TopicPolicy": _words("PolicyDocument Topics"),
    "AWS::SQS::Queue": _words(
        "ContentBasedDeduplication DelaySeconds FifoQueue MaximumMessageSize MessageRetentionPeriod QueueName"
        " ReceiveMessageWaitTimeSeconds RedriveAllowPolicy RedrivePolicy SqsManagedSseEnabled Tags"
        " VisibilityTimeout"
    ),
    "AWS::SQS::QueuePolicy": _words("PolicyDocument Queues"),
    "AWS::SSM::Parameter": _words("AllowedPattern DataType Description Name Tags Tier Type Value"),
    "AWS::Scheduler::Schedule": _words(
        "Description FlexibleTimeWindow GroupName Name ScheduleExpression State Target"
    ),
    "AWS::SecretsManager::RotationSchedule": _words(
        "RotateImmediatelyOnUpdate RotationLambdaARN RotationRules SecretId"
    ),
    "AWS::SecretsManager::Secret": _words("Description GenerateSecretString KmsKeyId Name SecretString Tags"),
    "AWS::StepFunctions::StateMachine": _words(
        "Definition DefinitionS3Location DefinitionString DefinitionSubstitutions LoggingConfiguration"
        " RoleArn StateMachineName StateMachineType Tags"
    ),
}


def refusals(template: Mapping[str, object], ours: Mapping[str, frozenset[str]]) -> list[str]:
    """Name what a template asks for that is not part of the local cloud."""
    known = {**VOUCHED, **ours}
    resources = template.get("Resources")
    found: list[str] = []
    for resource in (resources if isinstance(resources, dict) else {}).values():
        kind = str(resource.get("Type", "")) if isinstance(resource, dict) else ""
        if kind.startswith("Custom::"):
            continue
        if kind not in known:
            found.append(kind)
        elif "*" not in known[kind]:
            found += [
                f"{kind}.{each}" for each in resource.get("Properties") or {} if each not in known[kind]
            ]
    return sorted(set(found))
