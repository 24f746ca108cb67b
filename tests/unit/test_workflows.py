"""GitHub's workflows: each step is a verb that runs here, each action a commit, each right the least."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from atelier.templates import github_oidc

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"uses: ([\w-]+/[\w.-]+)@([0-9a-f]{40}) # v(\d+\.\d+\.\d+)")
RUN = re.compile(r'make ([a-z-]+)(?: ARGS="[\w $-]*")?')
ACTIONS = {"actions/checkout", "actions/setup-python", "aws-actions/configure-aws-credentials"}

every_workflow = pytest.mark.parametrize("path", FILES, ids=lambda each: each.stem)


def read(path):
    # YAML 1.1 reads the word `on` as a truth
    return {"on" if key is True else key: value for key, value in yaml.safe_load(path.read_text()).items()}


def jobs(path):
    return read(path)["jobs"]


def steps(path):
    return [(job, step) for job in jobs(path).values() for step in job.get("steps", ())]


def verbs():
    return set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_there_are_workflows_for_proposals_for_main_for_a_start_by_hand_and_for_the_documentation():
    assert ["check", "docs", "main", "start"] == [each.stem for each in FILES]


@every_workflow
def test_every_command_is_a_verb_of_the_makefile(path):
    commands = [step["run"] for _, step in steps(path) if "run" in step]

    for each in commands:
        assert (match := RUN.fullmatch(each)), each
        assert match[1] in verbs()


@every_workflow
def test_every_verb_is_one_that_make_knows_how_to_begin(path):
    for _, step in steps(path):
        if match := RUN.fullmatch(step.get("run", "")):
            planned = subprocess.run(["make", "-n", match[1]], cwd=ROOT, capture_output=True, text=True)
            assert 0 == planned.returncode, planned.stderr


@every_workflow
def test_every_action_is_pinned_by_the_hash_of_a_commit_and_says_its_version(path):
    used = [line.strip().removeprefix("- ") for line in path.read_text().splitlines() if "uses:" in line]
    local = [each for each in used if each.startswith("uses: $/.github/workflows/")]

    for each in set(used) - set(local):
        assert (match := PINNED.fullmatch(each)), each
        assert match[1] in ACTIONS


@every_workflow
def test_rights_are_given_job_by_job_and_never_to_write_the_repository(path):
    assert {} == read(path)["permissions"]
    for job in jobs(path).values():
        assert {"contents": "read"} == {k: v for k, v in job["permissions"].items() if k != "id-token"}


@every_workflow
def test_only_what_runs_on_the_branch_may_ask_for_a_token_and_it_waits_for_no_other(path):
    for job in jobs(path).values():
        if "id-token" in job["permissions"]:
            assert "github.ref == 'refs/heads/main'" in job["if"]
            assert "pull_request" not in read(path)["on"]
            assert "pull_request_target" not in read(path)["on"]


@every_workflow
def test_no_workflow_runs_for_ever_or_beside_another_of_its_kind(path):
    assert read(path)["concurrency"]["group"]
    for job in jobs(path).values():
        assert "uses" in job or 0 < job["timeout-minutes"] <= 90


@every_workflow
def test_a_checkout_keeps_no_credentials_and_no_workflow_reads_a_secret(path):
    for _, step in steps(path):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
    assert "secrets" not in path.read_text()
    assert not re.search(r"aws-access-key-id|aws-secret-access-key", path.read_text())


@every_workflow
def test_a_role_is_taken_for_a_quarter_of_what_it_allows_and_after_what_needs_none(path):
    for job in jobs(path).values():
        names = [step.get("uses", step.get("run", "")).partition("@")[0] for step in job.get("steps", ())]
        if "aws-actions/configure-aws-credentials" in names:
            at = names.index("aws-actions/configure-aws-credentials")
            asked = job["steps"][at]["with"]
            assert github_oidc.SESSION_SECONDS // 4 == asked["role-duration-seconds"]
            assert re.fullmatch(r"\$\{\{ vars\.AWS_(PUSH|DOCS)_ROLE_ARN \}\}", asked["role-to-assume"])
            assert len(names) == at + 2


def test_the_environment_and_the_branch_are_those_that_the_roles_trust_unless_told_otherwise():
    (publish,) = jobs(ROOT / ".github/workflows/docs.yml").values()

    assert github_oidc.ENVIRONMENT.Default == publish["environment"]["name"]
    for name in ("main", "docs"):
        assert [github_oidc.BRANCH.Default] == read(ROOT / f".github/workflows/{name}.yml")["on"]["push"][
            "branches"
        ]


def test_what_reaches_main_is_checked_before_it_is_pushed_on():
    main = jobs(ROOT / ".github/workflows/main.yml")

    assert "check" == main["push"]["needs"]
    assert "$/.github/workflows/check.yml" == main["check"]["uses"]
    assert {"make check", "make test", "make docs"} == {
        step["run"] for _, step in steps(ROOT / ".github/workflows/check.yml") if "run" in step
    }


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("main.yml", "timeout-minutes", "timeout-minuets"),
        ("check.yml", "3d3c42e5aac5ba805825da76410c181273ba90b1", "v7"),
        ("check.yml", "persist-credentials: false", "fetch-depth: 1"),
        ("main.yml", "permissions: {}", "permissions: write-all"),
        ("start.yml", 'make start ARGS="$PIPELINE --aws"', "make start ARGS=${{ inputs.pipeline }}"),
    ],
)
def test_the_linters_find_what_is_wrong(tmp_path, path, old, new):
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    text = (ROOT / ".github" / "workflows" / path).read_text()
    assert old in text
    (folder / path).write_text(text.replace(old, new))
    bin = ROOT / ".venv" / "bin"
    schema = [bin / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", folder / path]
    audit = [bin / "zizmor", "--offline", "--quiet", "--pedantic", "--no-progress", tmp_path / ".github"]

    ended = [subprocess.run(each, capture_output=True).returncode for each in (schema, audit)]

    assert [0, 0] != ended
