"""One build, phase by phase, from QUEUED to COMPLETED."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from atelier.cloud.context import Cloud, Credentials, Refused
from atelier.cloud.services.codebuild import artifacts, sources, variables
from atelier.cloud.services.codebuild.buildspec import PHASES, Artifacts, Buildspec, Phase, parse
from atelier.cloud.services.codebuild.failures import AccessDenied, CommandFailed, Ended, Failure, Invalid
from atelier.cloud.services.codebuild.journal import Journal
from atelier.cloud.services.codebuild.output import Output
from atelier.cloud.services.codebuild.shell import Shell
from atelier.cloud.services.codebuild.workbench import Workbench
from atelier.cloud.services.logs import LogStream
from atelier.cloud.store import Record

logger = logging.getLogger(__name__)

AT_ONCE = threading.BoundedSemaphore(4)
"""A machine for a workshop is no fleet: further builds wait in QUEUED."""


WHY = {"STOPPED": "The build was stopped.", "TIMED_OUT": "BUILD_TIMED_OUT: Build has timed out."}


class Run:
    """A build under way. Its record is written by this object only, until it is complete."""

    def __init__(self, cloud: Cloud, build: Record) -> None:
        self.cloud = cloud
        self.build = build
        self._plan: Record = build["plan"]
        self._bench = Workbench.of(cloud, build["id"])
        self._journal = Journal(cloud, build)
        self._ended: Ended | None = None
        self._shell: Shell | None = None
        self._credentials: Credentials | None = None
        self._spec = Buildspec(phases={})
        self._is_aborted = False
        self.finished = threading.Event()

    def end(self, status: str, why: str | None = None) -> None:
        """End the build from outside, with everything that it started."""
        self._ended = self._ended or Ended(status, why or WHY[status])
        if self._shell is not None:
            self._shell.end(self._ended)

    def __call__(self) -> None:
        """Run the build to its end; whatever happens, its record says how it ended."""
        with ExitStack() as stack:
            stack.callback(self.finished.set)
            stack.callback(self._journal.complete)
            stack.callback(self._bench.remove)
            try:
                self._work(stack)
            except Ended as ended:
                self.build["buildStatus"] = ended.status
            except Exception:  # the edge of this thread: the record must not stay IN_PROGRESS
                logger.exception("build %s failed by itself", self.build["id"])
                self.build["buildStatus"] = "FAULT"

    def _work(self, stack: ExitStack) -> None:
        self._phase("QUEUED", lambda: self._queue(stack))
        self._limit(stack)
        ready = self._phase("PROVISIONING", lambda: self._provision(stack))
        if ready and self._phase("DOWNLOAD_SOURCE", lambda: self._download(stack)):
            self._commands()
            if not self._is_aborted:
                self._phase("UPLOAD_ARTIFACTS", self._upload)
        self._phase("FINALIZING", self._finalize)

    def _limit(self, stack: ExitStack) -> None:
        timer = threading.Timer(self.build["timeoutInMinutes"] * 60, self.end, ["TIMED_OUT"])
        timer.daemon = True
        timer.start()
        stack.callback(timer.cancel)

    def _phase(self, name: str, work: Callable[[], None]) -> bool:
        def unless_ended() -> None:
            self._check()
            work()
            self._check()

        return self._journal.phase(name, unless_ended)

    def _check(self) -> None:
        if self._ended:
            raise self._ended

    def _queue(self, stack: ExitStack) -> None:
        while not AT_ONCE.acquire(timeout=0.2):
            self._check()
        stack.callback(AT_ONCE.release)

    def _provision(self, stack: ExitStack) -> None:
        self._bench.make()
        self._credentials = self._assume()
        self._journal.output = Output(self._log(stack))
        stack.callback(self._journal.output.close)
        image = self.build["environment"]["image"]
        self._journal.say(f"Build {self.build['id']} of {image}")
        self._journal.say(
            "No container isolates it: it runs as a process of this machine's user, on this machine's tools"
        )

    def _assume(self) -> Credentials:
        session = self.build["id"].replace(":", "-")
        role = self.build["serviceRole"]
        try:
            return self.cloud.identity.assume(role, service="codebuild.amazonaws.com", session=session)
        except Refused as error:
            raise AccessDenied(str(error)) from error

    def _log(self, stack: ExitStack) -> Callable[[str], None]:
        assert self._credentials is not None
        if logs := self.build.get("logs"):
            place = (logs["groupName"], logs["streamName"])
            return stack.enter_context(LogStream(self.cloud, self._credentials, *place))
        return lambda line: None

    def _download(self, stack: ExitStack) -> None:
        assert self._credentials is not None
        plan, bench, role = self._plan, self._bench, self.build["serviceRole"]
        version = sources.fetch(
            self.cloud,
            role,
            self._credentials,
            self.build["source"],
            self.build.get("sourceVersion"),
            bench.source,
        )
        self.build["resolvedSourceVersion"] = version
        versions = {
            each["sourceIdentifier"]: each["sourceVersion"] for each in plan["secondarySourceVersions"]
        }
        for each in self.build.get("secondarySources", []):
            name = each["sourceIdentifier"]
            place = bench.secondary(name)
            sources.fetch(self.cloud, role, self._credentials, each, versions.get(name), place)
        self._journal.say(f"CODEBUILD_SRC_DIR={bench.source}")
        self._spec = parse(self._buildspec())
        self._journal.say(f"Phases found in YAML: {len(self._spec.phases)}")
        for name, phase in self._spec.phases.items():
            self._journal.say(f" {name.upper()}: {len(phase.commands)} commands")
        self._open_shell(stack)

    def _buildspec(self) -> str:
        given = self.build["source"].get("buildspec") or "buildspec.yml"
        if "\n" in given:
            return str(given)
        place = (self._bench.source / given).resolve()
        if not place.is_relative_to(self._bench.source.resolve()) or not place.is_file():
            raise Invalid(f"stat {given}: no such file in the source")
        self._journal.say(f"YAML location is {place}")
        return place.read_text(encoding="utf-8", errors="replace")

    def _open_shell(self, stack: ExitStack) -> None:
        assert self._credentials is not None
        assert self._journal.output is not None
        bench, cloud = self._bench, self.cloud
        if shutil.which(self._spec.shell) is None:
            raise Invalid(f"env.shell: {self._spec.shell} is not on this machine")
        values, secrets = variables.given(
            cloud, self._credentials, self._spec, self.build["environment"].get("environmentVariables", [])
        )
        for secret in {*secrets, self._credentials.secret_key, self._credentials.token}:
            self._journal.output.hide(secret)
        version = bench.install_python(self._spec.python, cloud.home / "builds")
        self._journal.say(f"Python {version} in an environment of this build's own")
        places = {
            each["sourceIdentifier"]: bench.secondary(each["sourceIdentifier"])
            for each in self.build.get("secondarySources", [])
        }
        environment = {
            **bench.environment(cloud, is_privileged=self.build["environment"].get("privilegedMode", False)),
            **cloud.environment(self._credentials),
            **values,
            **variables.own(self.build, bench.source, places),
        }
        self._shell = Shell(
            self._spec.shell, bench.source, environment, bench.state, self._journal.output.descriptor
        )
        stack.callback(self._shell.close)

    def _commands(self) -> None:
        """Run the phases of the buildspec, going on after a failure only where CodeBuild does."""
        for name in PHASES:
            phase = self._spec.phases.get(name, Phase(commands=()))
            if self._phase(name.upper(), lambda phase=phase: self._run_phase(phase)):  # type: ignore[misc]
                continue
            assert self._shell is not None
            self._shell.run("export CODEBUILD_BUILD_SUCCEEDING=0")
            goes_on = phase.on_failure == "CONTINUE" or (
                phase.on_failure is None and name in ("build", "post_build")
            )
            if not goes_on:
                self._is_aborted = True
                break
        self._export()

    def _run_phase(self, phase: Phase) -> None:
        try:
            self._run_all(phase.commands)
        except CommandFailed:
            with suppress(CommandFailed):  # the first failure is the phase's reason
                self._run_all(phase.last)
            raise
        self._run_all(phase.last)

    def _run_all(self, commands: tuple[str, ...]) -> None:
        assert self._shell is not None
        for command in commands:
            text = command.rstrip("\n")
            self._journal.say(f"Running command {text}")
            if status := self._shell.run(command):
                self._journal.say(f"Command did not exit successfully {text} exit status {status}")
                raise CommandFailed(f"Error while executing command: {text}. Reason: exit status {status}")

    def _export(self) -> None:
        assert self._shell is not None
        found = [(name, self._shell.read(name)) for name in self._spec.exported]
        exported = [{"name": name, "value": value} for name, value in found if value is not None]
        self._journal.save(exportedEnvironmentVariables=exported)

    def _upload(self) -> None:
        if self._plan["artifacts"]["type"] != "NO_ARTIFACTS":
            if self._spec.artifacts is None:
                raise Failure("the project hands on artifacts, but the buildspec names none")
            self.build["artifacts"] = self._hand_on(self._plan["artifacts"], self._spec.artifacts)
        done = []
        for target in self._plan["secondaryArtifacts"]:
            identifier = target["artifactIdentifier"]
            if identifier not in self._spec.secondary:
                raise Failure(f"the buildspec has no artifacts.secondary-artifacts.{identifier}")
            done.append(
                self._hand_on(target, self._spec.secondary[identifier]) | {"artifactIdentifier": identifier}
            )
        if done:
            self.build["secondaryArtifacts"] = done

    def _hand_on(self, target: Record, wanted: Artifacts) -> dict[str, str]:
        assert self._credentials is not None
        files = artifacts.matching(self._bench.source, wanted, self._journal.say)
        number = self.build["id"].rpartition(":")[2]
        scratch: Path = self._bench.state
        return artifacts.upload(self.cloud, self._credentials, target, number, files, wanted, scratch)

    def _finalize(self) -> None:
        if self._shell is not None:
            self._shell.close()
