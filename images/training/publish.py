"""Have the image of a folder in its ECR repository under a tag, and print its digest.

The buildspecs run `python images/training/publish.py images/training/gpt_neo "$RepositoryUri" "$COMMIT"`.
It needs the `aws` and `docker` commands, and a login to the registry.

What is in the folder names the image too, by a tag of its own: the same files are never built twice, whatever
else a commit changes. The newest image of the repository is the cache of a build, so that a machine which has
built nothing yet does not install the dependencies again for a change of the code.
"""

import ast
import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import choose_lock

NOT_CONTENT = frozenset({"__pycache__", ".pytest_cache"})


class Failed(Exception):
    """What could not be done; the command that failed has said why itself."""


@dataclass(frozen=True)
class Repository:
    """A repository in ECR, as the `aws` and `docker` commands see it."""

    uri: str

    @property
    def name(self) -> str:
        """The name without the registry's host."""
        return self.uri.partition("/")[2]

    def tags(self) -> dict[str, str]:
        """Return the digest behind every tag, those of the newest image last."""
        images = json.loads(self._ask("describe-images"))["imageDetails"]
        images.sort(key=lambda image: str(image["imagePushedAt"]))
        return {tag: image["imageDigest"] for image in images for tag in image.get("imageTags", ())}

    def push(self, tag: str) -> str:
        """Push what was built as *tag* and return its digest; whoever pushed the same first is as good."""
        pushed = run("docker", "push", f"{self.uri}:{tag}")
        digest = self.tags().get(tag)
        if digest is None:
            raise Failed(f"docker push ended with {pushed}, and {self.name} has no image {tag}")
        return digest

    def add_tag(self, digest: str, tag: str) -> None:
        """Give an image one more tag."""
        answer = json.loads(self._ask("batch-get-image", "--image-ids", f"imageDigest={digest}"))
        if not answer["images"]:
            raise Failed(f"{self.name} has no image {digest} any more: was it deleted meanwhile?")
        image = answer["images"][0]
        manifest = ["--image-manifest", image["imageManifest"]]
        manifest += ["--image-manifest-media-type", image["imageManifestMediaType"]]
        put = run("aws", "ecr", "put-image", "--repository-name", self.name, "--image-tag", tag, *manifest)
        if put and self.tags().get(tag) != digest:
            raise Failed(f"aws ecr put-image ended with {put}, and {tag} does not name {digest}")

    def _ask(self, operation: str, *options: str) -> str:
        command = ["aws", "ecr", operation, "--repository-name", self.name, "--output", "json", *options]
        asked = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if asked.returncode:
            raise Failed(f"aws ecr {operation} ended with {asked.returncode}")
        return asked.stdout


def publish(folder: Path, repository: Repository, tag: str) -> str:
    """Return the digest of the folder's image, which has the *tag* then; build it only if need be."""
    tags = repository.tags()
    if tag in tags:
        return tags[tag]
    arguments = {"LOCK": choose_lock.main(folder)} if (folder / choose_lock.CPU).exists() else {}
    content = f"content-{key(folder, arguments)}"
    if content not in tags:
        newest = [f"{repository.uri}:{each}" for each in tags][-1:]
        build(folder, f"{repository.uri}:{content}", arguments, cached(newest))
        tags[content] = repository.push(content)
    repository.add_tag(tags[content], tag)
    return tags[content]


def key(folder: Path, arguments: Mapping[str, str]) -> str:
    """Return a name for what an image is built from."""
    files = (each for each in folder.rglob("*") if each.is_file() and not NOT_CONTENT & set(each.parts))
    found = {str(each.relative_to(folder)): hashlib.sha256(each.read_bytes()).hexdigest() for each in files}
    return hashlib.sha256(json.dumps([found, arguments], sort_keys=True).encode()).hexdigest()[:24]


def cached(images: list[str]) -> list[str]:
    """Return those images that the engine has, or gets from the registry."""
    here = ("docker", "image", "inspect", "--format", "{{.Id}}")
    return [each for each in images if not run(*here, each) or not run("docker", "pull", "--quiet", each)]


def build(folder: Path, name: str, arguments: Mapping[str, str], cache: list[str]) -> None:
    """Build the image; BuildKit needs to be told that the image is to serve as a cache later."""
    version = f"org.opencontainers.image.version={name.rpartition(':')[2]}"
    options = ["--force-rm", "--tag", name, "--label", version]
    for argument, value in {**arguments, **indexes(), "BUILDKIT_INLINE_CACHE": "1"}.items():
        options += ["--build-arg", f"{argument}={value}"]
    for each in cache:
        options += ["--cache-from", each]
    if code := run("docker", "build", *options, str(folder)):
        raise Failed(f"docker build ended with {code}")


def indexes() -> dict[str, str]:
    """Return the package indexes that pip is configured to use here: the lock was chosen by what they have.

    A build does not see a folder of this machine, and a password would stay in the image's history.
    """
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    values = dict(each.split("=", 1) for each in listed if "=" in each)
    found = {}
    for name in ("index-url", "extra-index-url"):
        value = values.get(f":env:.{name}") or values.get(f"global.{name}") or "''"
        urls = [each for each in str(ast.literal_eval(value)).split() if each.startswith(("http:", "https:"))]
        if kept := [each for each in urls if "@" not in each]:
            found[f"PIP_{name.replace('-', '_').upper()}"] = " ".join(kept)
        if kept != urls:
            sys.stderr.write(f"publish.py: pip's {name} holds a password, and is not told to the build\n")
    return found


def run(*command: str) -> int:
    """Run a command and return its exit code; standard output is kept for the digest."""
    return subprocess.run(command, stdout=sys.stderr, check=False).returncode


if __name__ == "__main__":
    if len(sys.argv) != 4 or not Path(sys.argv[1], "Dockerfile").is_file() or "/" not in sys.argv[2]:
        sys.exit("usage: publish.py FOLDER REPOSITORY_URI TAG, where the folder holds a Dockerfile")
    try:
        sys.stdout.write(publish(Path(sys.argv[1]), Repository(sys.argv[2]), sys.argv[3]) + "\n")
    except (Failed, OSError) as problem:  # such as a command that is not there
        sys.exit(f"publish.py: {problem}")
