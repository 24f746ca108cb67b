"""From a commit in the upstream WebUI's repository to a browser that works in what was built of it.

The order matters to the time that it takes, not to the outcome: what fails comes while the first image is the
newest, and the workstation that was launched of it is moved to the second.
"""

import urllib.error
import urllib.parse

import pytest
from playwright.sync_api import expect
from webui_browser import opened, through
from webui_workshop import PIPELINE

from atelier import artist
from atelier.client import middleware, tokens
from atelier.client.webui import digest
from atelier.client.webui_workstations import answering

pytestmark = [pytest.mark.docker, pytest.mark.timeout(2400)]


@pytest.fixture
def newest(followed):
    """The newest image before the test, which has to be the newest afterwards."""
    before = followed.webui.image()
    yield before
    assert before == followed.webui.image()


def test_before_the_first_image_a_launch_says_how_to_get_one(followed):
    refused = followed.refused

    assert 1 == refused.exit_code
    assert "there is no image of the WebUI" in refused.output
    assert f"atelier pipeline show {PIPELINE}" in refused.output


def test_a_push_is_built_tested_published_and_recorded(followed):
    run = followed.first

    assert {"Succeeded"} == {each.status for each in run.actions}
    found = followed.recorded(run.id, "published")
    assert (run.outputs["UPSTREAM_COMMIT"], run.commit) == (found.upstream, found.source)
    assert f"{found.upstream[:12]}-{found.source[:12]}" == found.tag
    assert 0 < found.size_bytes
    assert 0 < found.startup_seconds
    tagged = followed.clients.ecr.describe_images(
        repositoryName="atelier/webui", imageIds=[{"imageTag": found.tag}]
    )
    assert digest(found.image) == tagged["imageDetails"][0]["imageDigest"]


def test_a_push_that_touches_nothing_of_the_image_builds_nothing(followed, newest):
    before = [each.run for each in followed.webui.history()]
    source = followed.commit("docs/notes.md", "nothing of the image")

    followed.push()

    assert "unchanged" == followed.look().outcome
    assert before == [each.run for each in followed.webui.history()]
    assert source not in {each.source for each in followed.webui.history()}


def test_an_image_without_our_tab_is_not_published_and_not_built_again_at_once(followed, newest):
    head = followed.upstream.lose_the_tab()

    run = followed.settled(followed.look().run)

    assert ("Failed", "Test") == (run.status, run.failure.stage)
    assert "without our tab" in run.failure.reason
    assert "without our tab" in followed.recorded(run.id, "failed").reason
    assert "waiting" == followed.look().outcome
    assert [run.id] == [each.run for each in followed.webui.history() if each.upstream == head]


def test_requirements_that_cannot_be_installed_are_named(followed, newest):
    followed.upstream.require("atelier-has-no-such-package==9")

    run = followed.settled(followed.look().run)

    assert ("Failed", "Build") == (run.status, run.failure.stage)
    assert "atelier-has-no-such-package" in run.failure.reason
    assert "atelier-has-no-such-package" in followed.recorded(run.id, "failed").reason


def test_a_browser_opens_a_workstation_whose_extension_reaches_the_middleware(followed, workstation):
    api = middleware.connect(followed.clients)
    api.call("POST", "roles", {"role_name": artist.ROLE, "permissions": list(artist.PERMISSIONS)})
    api.call("POST", "users", {"username": artist.USER, "roles": [artist.ROLE]})
    token = tokens.create(api, artist.USER, description="browser", expires_in=3600).secret
    password = followed.says("webui", "open", "--show-password")["password"]

    with opened(workstation["url"], workstation["username"], password) as page:
        page.connect("studio", api.url, token)

        expect(page.part("atelier_accounts_message")).to_contain_text("studio is connected")


@pytest.mark.parametrize("password", ["wrong", ""])
def test_without_the_password_nobody_gets_in(workstation, password):
    form = urllib.parse.urlencode({"username": workstation["username"], "password": password}).encode()
    stranger = through(workstation["url"])

    with pytest.raises(urllib.error.HTTPError, match=r"40[01]"):
        stranger.open(f"{workstation['url']}config", timeout=30)
    with pytest.raises(urllib.error.HTTPError, match=r"400|422"):
        stranger.open(f"{workstation['url']}login", form, timeout=30)


def test_a_launch_beyond_the_quota_is_refused_in_words(followed, workstation):
    refused = followed.atelier("webui", "launch", "--yes")

    assert 1 == refused.exit_code
    assert "InstanceLimitExceeded" in refused.output
    assert "have the quota raised" in refused.output
    assert [workstation["id"]] == [each["id"] for each in followed.says("webui", "list")["workstations"]]


def test_the_newest_commit_becomes_the_newest_image_by_itself(followed):
    before = followed.webui.image()
    followed.look_every("rate(1 minute)")
    with followed.upstream.together():
        followed.upstream.mend()
        passed = followed.upstream.commit("Be as at first")
        followed.upstream.commit("Stay a moment")
        gone = followed.upstream.rewrite()
        head = followed.upstream.commit("Be the newest")

    run = followed.settled(followed.recorded_of(head).run)  # nobody looks but the schedule

    assert "Succeeded" == run.status, run.failure
    now = followed.webui.image()
    assert (head, head, before.uri) == (
        now.upstream_commit,
        now.provenance["upstream"],
        now.provenance["previous"],
    )
    assert "upstream" == followed.recorded(run.id, "published").trigger
    assert set() == {passed, gone} & {each.upstream for each in followed.webui.history()}


def test_a_commit_that_is_not_in_the_branch_is_not_built(followed, newest):
    gone = followed.upstream.aside()

    run = followed.settled(followed.pipelines.start(PIPELINE, {"UPSTREAM_COMMIT": gone}))

    assert ("Failed", "Build") == (run.status, run.failure.stage)
    assert gone[:12] in run.failure.reason


def test_an_update_moves_a_workstation_to_the_newest_image_and_back(followed, workstation):
    newest = followed.webui.image()
    assert newest.uri != workstation["image"]

    moved = followed.says("webui", "update")

    assert (newest.uri, workstation["url"]) == (moved["image"], moved["url"])
    assert newest.digest == answering(moved["url"])
    back = followed.says("webui", "update", "--rollback")
    assert (workstation["image"], newest.uri) == (back["image"], back["previous_image"])
    assert digest(workstation["image"]) == answering(back["url"])
