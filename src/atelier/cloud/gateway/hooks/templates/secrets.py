"""Secrets that CloudFormation makes: random as Secrets Manager's own, with every choice that it offers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from atelier.cloud.context import Refused
from atelier.cloud.gateway.hooks.private import replace, use
from atelier.cloud.gateway.hooks.templates.completed import is_true

SECRETS = "services.secretsmanager"
FLAGS = (
    *("ExcludeLowercase", "ExcludeNumbers", "ExcludePunctuation", "ExcludeUppercase"),
    *("IncludeSpace", "RequireEachIncludedType"),
)


def install() -> None:
    """Have secrets made by the function behind GetRandomPassword, where ministack heeds two choices."""
    use(SECRETS, "_get_random_password", "data")
    replace("services.cloudformation.provisioners", "_sm_secret_string", "props", by=lambda _: _secret)


def _secret(properties: Mapping[str, Any]) -> str:
    """Return a secret's first value."""
    asked = properties.get("GenerateSecretString")
    if properties.get("SecretString") or not asked:
        return str(properties.get("SecretString", ""))
    made = password(asked)
    if "SecretStringTemplate" not in asked:
        return made
    if "GenerateStringKey" not in asked:
        raise Refused("GenerateSecretString needs GenerateStringKey beside SecretStringTemplate")
    document = json.loads(asked["SecretStringTemplate"])
    return json.dumps({**document, asked["GenerateStringKey"]: made})


def password(asked: Mapping[str, Any]) -> str:
    """Return a random password as asked for."""
    data: dict[str, Any] = {name: is_true(asked[name]) for name in FLAGS if name in asked}
    data["PasswordLength"] = int(asked.get("PasswordLength", 32))
    data["ExcludeCharacters"] = str(asked.get("ExcludeCharacters", ""))
    status, _, body = use(SECRETS, "_get_random_password", checked=False)(data)
    document = json.loads(body)
    if status >= 400:
        raise Refused(str(document.get("message") or document.get("Message")))
    return str(document["RandomPassword"])
