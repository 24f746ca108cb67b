"""Prove that an image of the WebUI works, and print its figures: it is started as its users would.

`python images/webui/prove.py IMAGE` needs Docker with the image in it. People's face: nobody is let in
without a password or with a wrong one, and our tab is on the page. SageMaker's: /ping, and a task that asks
for nothing sensible is refused. It prints SIZE_BYTES and STARTUP_SECONDS; when they are much worse than those
of the latest good image, which the SSM parameter $ParameterPath/provenance tells, the proof fails.
"""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass

import parameters
from declaration import Refused
from trial import Container, Unproven, docker

TAB = "tab_atelier"
USER = "prover"
#: What an image may grow to, and what its start may take, times what the latest good one has.
LARGER, SLOWER = 1.5, 2.0
#: A machine that had other things to do takes longer by so much.
SLACK_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What is recorded of an image."""

    size_bytes: int
    startup_seconds: float

    def exported(self) -> str:
        """Return the lines that a shell exports."""
        return f"SIZE_BYTES={self.size_bytes}\nSTARTUP_SECONDS={self.startup_seconds:.1f}\n"


def measure(image: str) -> Figures:
    """Start the image in both ways; raise Unproven for the first thing that is not as it should be."""
    size = int(docker("image", "inspect", "--format", "{{.Size}}", image))
    with Container(image, USER) as people:
        seconds = people.wait("/")
        opened(people)
    with Container(image, None, "serve") as face:
        face.wait("/ping")
        answers(face)
    return Figures(size_bytes=size, startup_seconds=seconds)


def opened(webui: Container) -> None:
    """Log in as a person would, and look for our tab."""
    expect("GET /config before the login", 401, webui.ask("/config").status)
    wrong = webui.ask("/login", form={"username": USER, "password": "wrong"})
    expect("a login with a wrong password", 400, wrong.status)
    right = webui.ask("/login", form={"username": USER, "password": webui.password})
    expect("the login", 200, right.status)
    page = webui.ask("/config")
    expect("GET /config after the login", 200, page.status)
    ids = {str(each.get("props", {}).get("elem_id")) for each in json.loads(page.body)["components"]}
    if TAB not in ids:
        tabs = ", ".join(sorted(each for each in ids if each.startswith("tab_"))) or "none"
        raise Unproven(f"the WebUI starts without our tab {TAB}: its tabs are {tabs}", webui.log())


def answers(face: Container) -> None:
    """Ask what can only be refused: by us, with a reason, and not by a crash."""
    refused = face.ask("/invocations", document={"id": "proof", "task_type": "none"})
    expect("a task of an unknown type", 400, refused.status)
    if "task_type" not in refused.body:
        raise Unproven(f"/invocations refuses a task without the reason: {refused.body[:200]}", face.log())
    expect("/ping afterwards", 200, face.ask("/ping").status)


def expect(what: str, wanted: int, status: int) -> None:
    """Refuse another status than the one that is wanted."""
    if status != wanted:
        raise Unproven(f"{what} is answered with {status}, not {wanted}")


def compare(found: Figures, good: Mapping[str, object]) -> None:
    """Refuse what is much worse than the latest good image."""
    size, seconds = float(str(good["size_bytes"])), float(str(good["startup_seconds"]))
    if found.size_bytes > LARGER * size:
        raise Unproven(
            f"the image has {found.size_bytes / 1e6:.0f} MB, more than {LARGER:g} times the"
            f" {size / 1e6:.0f} MB of the latest good one"
        )
    if found.startup_seconds > SLOWER * seconds + SLACK_SECONDS:
        raise Unproven(
            f"the WebUI took {found.startup_seconds:.1f} s to start, more than {SLOWER:g} times the"
            f" {seconds:.1f} s of the latest good one (and {SLACK_SECONDS:g} s)"
        )


def main(image: str) -> str:
    """Prove the image; return what a shell exports."""
    found = measure(image)
    if good := parameters.published("provenance", os.environ):
        compare(found, json.loads(good))
    return found.exported()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: prove.py IMAGE")
    try:
        sys.stdout.write(main(sys.argv[1]))
    except Unproven as problem:
        sys.stderr.write(problem.log)
        sys.exit(f"error: {problem}")
    except (Refused, OSError) as problem:
        sys.exit(f"error: {problem}")
