"""The variables that a build's commands see, and the secrets among them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from atelier.cloud.context import Cloud, Credentials
from atelier.cloud.services.codebuild.buildspec import Buildspec
from atelier.cloud.services.codebuild.failures import Failure
from atelier.cloud.services.wire import Document


def own(build: Mapping[str, Any], source: Path, secondary: Mapping[str, Path]) -> dict[str, str]:
    """Return the variables that CodeBuild itself sets, as on AWS."""
    started = datetime.fromisoformat(build["startTime"])
    logs = build.get("logs", {})
    values = {
        "CI": "true",
        "CODEBUILD_CI": "true",
        "CODEBUILD_BUILD_ARN": build["arn"],
        "CODEBUILD_BUILD_ID": build["id"],
        "CODEBUILD_BUILD_IMAGE": build["environment"]["image"],
        "CODEBUILD_BUILD_NUMBER": str(build["buildNumber"]),
        "CODEBUILD_BUILD_SUCCEEDING": "1",
        "CODEBUILD_INITIATOR": build["initiator"],
        "CODEBUILD_LOG_PATH": logs.get("streamName"),
        "CODEBUILD_PROJECT_ARN": build["arn"].partition(":build/")[0] + f":project/{build['projectName']}",
        "CODEBUILD_RESOLVED_SOURCE_VERSION": build.get("resolvedSourceVersion"),
        "CODEBUILD_SOURCE_REPO_URL": build["source"].get("location"),
        "CODEBUILD_SOURCE_VERSION": build.get("sourceVersion"),
        "CODEBUILD_SRC_DIR": str(source),
        "CODEBUILD_START_TIME": str(int(started.timestamp() * 1000)),
        **{f"CODEBUILD_SRC_DIR_{key}": str(place) for key, place in secondary.items()},
    }
    return {name: value for name, value in values.items() if value is not None}


def given(
    cloud: Cloud, credentials: Credentials, spec: Buildspec, environment: Iterable[Document]
) -> tuple[dict[str, str], set[str]]:
    """Return the variables of buildspec and project, and which values are secret.

    The project's (and the build's overrides, already among them) win over the buildspec's.
    """
    wanted = [("PLAINTEXT", name, value) for name, value in spec.variables.items()]
    wanted += [("PARAMETER_STORE", name, value) for name, value in spec.parameters.items()]
    wanted += [("SECRETS_MANAGER", name, value) for name, value in spec.secrets.items()]
    wanted += [(each.get("type", "PLAINTEXT"), each["name"], each["value"]) for each in environment]
    chosen = {name: (kind, value) for kind, name, value in wanted}
    read = {"PLAINTEXT": _plain, "PARAMETER_STORE": _parameter, "SECRETS_MANAGER": _secret}
    values = {name: read[kind](cloud, credentials, value) for name, (kind, value) in chosen.items()}
    return values, {values[name] for name, (kind, _) in chosen.items() if kind != "PLAINTEXT"}


def _plain(_cloud: Cloud, _credentials: Credentials, value: str) -> str:
    return value


def _parameter(cloud: Cloud, credentials: Credentials, name: str) -> str:
    client = cloud.client("ssm", credentials)
    try:
        return str(client.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"])
    except (ClientError, BotoCoreError) as error:
        raise Failure(f"Error while fetching parameter {name}: {error}") from error
    finally:
        client.close()


def _secret(cloud: Cloud, credentials: Credentials, reference: str) -> str:
    """Read ``secret-id:json-key:version-stage:version-id``, of which all but the first may be left out."""
    words = reference.split(":")
    size = 7 if reference.startswith("arn:") else 1
    secret, rest = ":".join(words[:size]), [*words[size:], "", "", ""]
    key, stage, version = rest[:3]
    place = {"SecretId": secret, "VersionStage": stage, "VersionId": version}
    client = cloud.client("secretsmanager", credentials)
    try:
        text = str(
            client.get_secret_value(**{name: value for name, value in place.items() if value})["SecretString"]
        )
        return str(json.loads(text)[key]) if key else text
    except (ClientError, BotoCoreError) as error:
        raise Failure(f"Error while fetching secret {secret}: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise Failure(f"secret {secret} holds no JSON object with the key {key!r}") from error
    finally:
        client.close()
