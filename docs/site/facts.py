"""Write down what the reference is made of and only Atelier knows: its commands and its stacks."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from prices import MONTHLY

from atelier import deploy, synth
from atelier.cli.main import cli


def commands(group: click.Group, path: str) -> Iterator[dict[str, Any]]:
    """Yield every command below *group*, in its order."""
    parent = click.Context(group, info_name=path)
    for name in group.list_commands(parent):
        command = group.get_command(parent, name)
        if command is None or command.hidden:
            continue
        context = click.Context(command, info_name=name, parent=parent)
        yield {
            "command": f"{path} {name}",
            "usage": f"{path} {name} {' '.join(command.collect_usage_pieces(context))}".rstrip(),
            "help": command.help or "",
            "options": [record for each in command.get_params(context) if (record := option(each, context))],
            "examples": list(getattr(command, "examples", ())),
            "is_group": isinstance(command, click.Group),
        }
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")


def option(parameter: click.Parameter, context: click.Context) -> list[str] | None:
    """Return how an option is written, and what it does; nothing for an argument and for --help."""
    if parameter.name == "help" or isinstance(parameter, click.Argument):
        return None
    return list(parameter.get_help_record(context) or ()) or None


def stacks() -> Iterator[dict[str, Any]]:
    """Yield every stack with its parameters and outputs."""
    for name in synth.TEMPLATES:
        template = json.loads(synth.text(name))
        yield {
            "name": name,
            "description": template["Description"],
            "parameters": template.get("Parameters", {}),
            "outputs": template.get("Outputs", {}),
            "standing": standing(template),
            "parts": [part for part, order in deploy.PARTS.items() if name in order and part != "all"],
        }


def standing(template: dict[str, Any]) -> dict[str, int]:
    """Count what costs by the month, used or not, when every parameter has its default."""
    found = [
        each["Type"]
        for each in template["Resources"].values()
        if each["Type"] in MONTHLY and holds(each.get("Condition"), template) and not _is_free(each)
    ]
    return dict(Counter(found))


def holds(condition: Any, template: dict[str, Any]) -> bool:
    """Say whether a condition holds when every parameter has its default."""
    if condition is None:
        return True
    if isinstance(condition, str):
        return holds(template["Conditions"][condition], template)
    ((word, parts),) = condition.items()
    if word == "Condition":
        return holds(parts, template)
    if word == "Fn::Equals":
        one, other = (_default(each, template) for each in parts)
        return bool(one == other)
    inner = [holds(each, template) for each in parts]
    return {"Fn::Not": not inner[0], "Fn::And": all(inner), "Fn::Or": any(inner)}[word]


def _default(value: Any, template: dict[str, Any]) -> Any:
    return template["Parameters"][value["Ref"]].get("Default") if isinstance(value, dict) else value


def _is_free(resource: dict[str, Any]) -> bool:
    """Say whether it is an endpoint of the kind that costs nothing: S3's and DynamoDB's gateways."""
    kind = resource.get("Properties", {}).get("VpcEndpointType", "Gateway")
    return resource["Type"] == "AWS::EC2::VPCEndpoint" and kind == "Gateway"


def main(path: Path) -> None:
    """Write the facts to *path*."""
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = {"commands": list(commands(cli, "atelier")), "stacks": list(stacks())}
    path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
