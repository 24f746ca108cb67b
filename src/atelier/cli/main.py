"""The `atelier` command: a group that imports a command's module only when that command is called."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import click

from atelier.cli.errors import Group

# name -> where the command is, and what `atelier --help` says of it without importing it
COMMANDS: Mapping[str, tuple[str, str]] = {
    "demo": (
        "atelier.cli.demo:demo",
        "Publish a model from a git push; or paint (artist); or serve (fleet).",
    ),
    "up": ("atelier.cli.cloud:up", "Start the local cloud."),
    "down": ("atelier.cli.cloud:down", "Stop the local cloud; its state stays."),
    "status": ("atelier.cli.cloud:status", "Say whether the local cloud runs, and where."),
    "logs": ("atelier.cli.cloud:logs", "Show what the local cloud wrote to its log."),
    "env": ("atelier.cli.cloud:env", "Print the variables that point other tools at the local cloud."),
    "synth": ("atelier.cli.synth:synth", "Render every CloudFormation template."),
    "deploy": ("atelier.cli.deploy:deploy", "Deploy a part: pipeline, middleware, webui, fleet, docs, all."),
    "outputs": ("atelier.cli.outputs:outputs", "Say where a deployed part is to be reached."),
    "tokens": ("atelier.cli.tokens:tokens", "Make, list and revoke tokens of the middleware's API."),
    "merge": ("atelier.cli.merge:merge", "Merge checkpoints, on this machine."),
    "pipeline": ("atelier.cli.pipeline:pipeline", "Follow and steer the pipelines."),
    "webui": ("atelier.cli.webui:webui", "Launch the newest WebUI with the extension; see its builds."),
    "fleet": ("atelier.cli.fleet:fleet", "See what the serving fleet serves; let models land; ask it."),
    "models": ("atelier.cli.models:models", "Look into the model registry."),
    "docs": ("atelier.cli.docs:docs", "Publish the documentation's site."),
    "notebooks": ("atelier.cli.notebooks:notebooks", "Execute the notebooks from top to bottom."),
    "invoke": ("atelier.cli.invoke:invoke", "Let the published model go on from a prompt."),
    "api-key": ("atelier.cli.invoke:api_key", "Print the key that opens the published API."),
}


class LazyGroup(Group):
    """Commands by name, each imported when it is used: `atelier --help` stays fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands, none of which is imported for it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, told) for name, (_, told) in COMMANDS.items()])


@click.command(cls=LazyGroup)
@click.version_option(package_name="atelier-aws", prog_name="atelier")
def cli() -> None:
    """GitOps for generative AI on AWS, runnable on one machine.

    The local cloud answers the AWS APIs on this machine and runs what the templates of this repository
    deploy. It keeps everything under $ATELIER_HOME (default: .atelier in the current directory).
    """
