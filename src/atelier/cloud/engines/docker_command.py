"""The `docker` command of a build environment without Docker: login, build, tag, push, pull, inspect, images.

It speaks to people and buildspecs as Docker does. What it does not do it refuses by name, with exit code 1.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from atelier.cloud.engines import inspect, registry
from atelier.cloud.engines.build import Order, build
from atelier.cloud.engines.dockerfile import DockerfileError
from atelier.cloud.engines.images import ImageError, ImageStore, Reference, architecture
from atelier.cloud.engines.layers import InstallFailed, Layers

ENGINE = "Atelier's process engine: there is no Docker here, and nothing isolates a container."

TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
REPOSITORY = re.compile(r"[a-z0-9]+(?:[._:/-]+[a-z0-9]+)*")


class CommandError(Exception):
    """A command line that this `docker` does not take."""


class Parser(argparse.ArgumentParser):
    """A parser whose complaint is an exception."""

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong, with who refuses."""
        raise CommandError(f"{message}: not supported by the `docker` of Atelier's process engine")


class Command:
    """One run of the command."""

    def __init__(self, home: Path, cache: Path) -> None:
        self._home = home
        self._store = ImageStore(home)
        self._layers = Layers(cache)

    @functools.cached_property
    def _logins(self) -> registry.Logins:
        return registry.Logins(registry.Tokens(self._home))

    @functools.cached_property
    def _ecr(self) -> Any:
        import boto3  # only what speaks to ECR pays for this import
        from botocore.config import Config

        return boto3.client("ecr", config=Config(retries={"mode": "standard"}, inject_host_prefix=False))

    def login(self, options: argparse.Namespace) -> None:
        """Check a password against ECR's tokens, and keep it."""
        if options.password or not options.password_stdin:
            raise CommandError("login: give the password with --password-stdin, never as an argument")
        password = sys.stdin.read().strip()
        host = re.sub(r"^https?://", "", options.registry).rstrip("/")
        self._logins.add(host, options.username, password)
        say("Login Succeeded")

    def logout(self, options: argparse.Namespace) -> None:
        """Forget a login."""
        self._logins.remove(options.registry)
        say(f"Removing login credentials for {options.registry}")

    def build(self, options: argparse.Namespace) -> None:
        """Build an image from a Dockerfile."""
        names = [named(each) for each in options.tag]
        context = Path(options.context)
        if not context.is_dir():
            raise CommandError(f"build: {options.context} is not a folder; only folders are build contexts")
        if options.platform not in {None, f"linux/{architecture()}"}:
            raise CommandError(
                f"build: --platform {options.platform}: this machine is linux/{architecture()}"
            )
        order = Order(
            context=context,
            dockerfile=Path(options.file) if options.file else context / "Dockerfile",
            arguments=assignments(options.build_arg, os.environ),
            labels=assignments(options.label, {}),
        )
        log = silent if options.quiet else say
        image = build(order, store=self._store, layers=self._layers, log=log)
        if options.iidfile:
            Path(options.iidfile).write_text(image.id)
        say(image.id if options.quiet else f"Successfully built {short(image.id)}")
        for name in names:
            self._store.local.put(name.repository, name.tag, image.digest)
            log(f"Successfully tagged {name}")

    def tag(self, options: argparse.Namespace) -> None:
        """Give an image another name."""
        image, name = self._store.find(options.source), named(options.target)
        self._store.local.put(name.repository, name.tag, image.digest)

    def push(self, options: argparse.Namespace) -> None:
        """Upload an image to ECR."""
        name = named(options.name)
        host, _ = registry.repository_of(name.repository)
        image = self._store.find(str(name))
        self._logins.check(host)
        registry.push(self._ecr, self._store, image, name, silent if options.quiet else say)

    def pull(self, options: argparse.Namespace) -> None:
        """Get an image that ECR has."""
        name = Reference.parse(options.name)
        self._logins.check(registry.repository_of(name.repository)[0])
        image = registry.pull(self._ecr, self._store, name)
        say(f"Digest: {image.digest}\nStatus: Image is up to date for {name}\n{name}")

    def inspect(self, options: argparse.Namespace) -> None:
        """Show what is known of images."""
        found = [inspect.document(self._store, self._store.find(name)) for name in options.names]
        if options.format is None:
            say(json.dumps(found, indent=4))
        for each in found if options.format is not None else []:
            say(inspect.render(options.format, each))

    def images(self, options: argparse.Namespace) -> None:
        """List the images that builds named."""
        say(f"{'REPOSITORY':<70} {'TAG':<45} IMAGE ID")
        for repository, tag, digest in self._store.local.all():
            if repository and not tag.startswith("sha256:"):
                say(f"{repository:<70} {tag:<45} {short(self._store.load(digest).id)}")

    def version(self, options: argparse.Namespace) -> None:
        """Say what this is."""
        say(ENGINE)


def parser() -> Parser:
    """Return the grammar of the command line."""
    top = Parser(prog="docker", description=ENGINE, allow_abbrev=False)
    verbs = top.add_subparsers(dest="verb", required=True, parser_class=Parser, metavar="COMMAND")
    _registry_verbs(verbs)
    _build_verb(verbs)
    tag = _verb(verbs, "tag", "tag")
    tag.add_argument("source")
    tag.add_argument("target")
    _verb(verbs, "images", "images")
    _verb(verbs, "version", "version")
    _verb(verbs, "info", "version")
    image = verbs.add_parser("image", allow_abbrev=False).add_subparsers(
        required=True, parser_class=Parser, metavar="COMMAND"
    )
    for group in (verbs, image):
        shown = _verb(group, "inspect", "inspect")
        shown.add_argument("-f", "--format")
        shown.add_argument("names", nargs="+")
    return top


def _verb(verbs: Any, name: str, does: str) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = verbs.add_parser(name, allow_abbrev=False)
    made.set_defaults(does=does)
    return made


def _registry_verbs(verbs: Any) -> None:
    login = _verb(verbs, "login", "login")
    login.add_argument("-u", "--username", required=True)
    login.add_argument("-p", "--password")  # known only so that a refusal does not repeat it
    login.add_argument("--password-stdin", action="store_true")
    login.add_argument("registry")
    _verb(verbs, "logout", "logout").add_argument("registry")
    for name in ("push", "pull"):
        verb = _verb(verbs, name, name)
        verb.add_argument("-q", "--quiet", action="store_true")
        verb.add_argument("name")


def _build_verb(verbs: Any) -> None:
    verb = _verb(verbs, "build", "build")
    verb.add_argument("-t", "--tag", action="append", default=[])
    verb.add_argument("-f", "--file")
    verb.add_argument("--build-arg", action="append", default=[])
    verb.add_argument("--label", action="append", default=[])
    verb.add_argument("--cache-from", action="append")  # what a lock installs is kept by its content anyway
    verb.add_argument("--force-rm", action="store_true")  # a build leaves no container here, however it ends
    verb.add_argument("--iidfile")
    verb.add_argument("-q", "--quiet", action="store_true")
    verb.add_argument("--platform")
    verb.add_argument("--progress", choices=["plain", "auto"])
    verb.add_argument("--provenance", choices=["false"])  # none is made, as SageMaker wants it
    verb.add_argument("context")


def named(text: str) -> Reference:
    """Return a name to give to an image; raise CommandError for one that Docker would not take."""
    name = Reference.parse(text)
    if name.by_digest or not TAG.fullmatch(name.tag) or not REPOSITORY.fullmatch(name.repository):
        raise CommandError(f"{text!r} is not a name for an image: write repository:tag in lower case")
    return name


def assignments(pairs: Sequence[str], default: Any) -> dict[str, str]:
    """Return ``NAME=value`` options; a name alone takes its value from *default*."""
    split = [pair.partition("=") for pair in pairs]
    return {name: value if equals else default.get(name, "") for name, equals, value in split}


def short(image_id: str) -> str:
    """Return an Id as Docker abbreviates it."""
    return image_id.partition(":")[2][:12]


def say(line: str) -> None:
    """Write a line at once: a build's log is followed live."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def silent(_line: str) -> None:
    """Write nothing."""


def run(home: Path, cache: Path, arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    try:
        options = parser().parse_args(arguments)
        does: Callable[[argparse.Namespace], None] = getattr(Command(home, cache), options.does)
        does(options)
    except (CommandError, DockerfileError, ImageError, InstallFailed, OSError) as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return _fail("interrupted", code=130)
    except Exception as error:  # the edge: a build's log shows what went wrong, not where in our code
        return _fail(str(error) if _is_aws(error) else f"unexpected {type(error).__name__}: {error}")
    return 0


def _is_aws(error: Exception) -> bool:
    """Say whether ECR or the way to it refused; botocore is not imported to ask."""
    return type(error).__module__.startswith("botocore.")


def _fail(text: str, code: int = 1) -> int:
    sys.stderr.write(f"docker: {text}\n")
    return code


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
