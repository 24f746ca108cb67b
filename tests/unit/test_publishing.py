import pytest
from function_fakes import NOW, FakeEndpoints, FakeRegistry, FakeStacks, version

from atelier.contract.events import PublishModel
from atelier.lambdas.errors import Conflict, Failed
from atelier.lambdas.services import publishing
from atelier.lambdas.services.publishing import Targets

CONFIG = "gpt-neo-1a2b3c4d-1"
REQUEST = PublishModel(version="1", template_key="templates/x", code_key="lambdas/y", layer_key="layers/z")
TARGETS = Targets(stable="stable", candidate="candidate", stack="api", parameters={"Prefix": "atelier"})


class World:
    """An account with an approved version, shown by the candidate."""

    def __init__(self, **changes):
        self.registry = FakeRegistry(version(**{"status": "approved", **changes}))
        self.endpoints, self.stacks = FakeEndpoints(), FakeStacks()
        self.endpoints.set("candidate", "InService", CONFIG)
        self.feed = None

    def advance(self, token=None):
        return publishing.advance(
            REQUEST,
            token,
            now=NOW,
            targets=TARGETS,
            registry=self.registry,
            endpoints=self.endpoints,
            stacks=self.stacks,
            feed=self.feed,
        )

    def serve(self, config="old", status="InService", reason=""):
        self.endpoints.set("stable", status, config, reason)
        return self


def test_a_first_version_is_published_in_order():
    world = World()

    step = world.advance()
    assert [f"create stable {CONFIG}"] == world.endpoints.done
    assert step == world.advance(step.token)
    assert [] == world.stacks.applied

    world.serve(CONFIG)
    step = world.advance(step.token)
    assert [("api", "templates/x")] == [each[:2] for each in world.stacks.applied]
    assert {"Prefix": "atelier", "CodeKey": "lambdas/y", "LayerKey": "layers/z"} == world.stacks.applied[0][2]
    assert step == world.advance(step.token)
    assert world.registry.get(1).published is None

    world.stacks.set("api", "CREATE_COMPLETE")
    step = world.advance(step.token)
    assert step.token is None
    assert {"API_URL": "https://api", "API_ID": "api1", "ENDPOINT": "stable"} == step.outputs
    assert NOW == world.registry.get(1).published
    assert "delete candidate" == world.endpoints.done[-1]


def test_a_later_version_updates_the_endpoint_in_place():
    world = World().serve("old")

    world.advance()

    assert [f"update stable {CONFIG}"] == world.endpoints.done


def test_an_endpoint_that_serves_the_version_already_is_left_alone():
    world = World().serve(CONFIG)
    world.stacks.set("api", "UPDATE_COMPLETE")
    world.stacks.changes = False

    step = world.advance()

    assert step.token is None
    assert ["delete candidate"] == world.endpoints.done


def test_an_update_that_was_rolled_back_is_a_failure_and_the_candidate_stays():
    world = World().serve("old", reason="the container did not answer /ping")

    with pytest.raises(Failed, match=r"went back to old: the container did not answer /ping"):
        world.advance(publishing.MOVING)

    assert [] == world.endpoints.done
    assert world.registry.get(1).published is None


def test_an_endpoint_that_fails_says_why():
    world = World().serve(CONFIG, "Failed", "no capacity")

    with pytest.raises(Failed, match="stable failed: no capacity"):
        world.advance(publishing.MOVING)


def test_an_endpoint_that_an_earlier_run_left_failed_is_made_anew():
    world = World().serve("old", "Failed")

    step = world.advance()
    step = world.advance(step.token)

    assert ["delete stable", f"create stable {CONFIG}"] == world.endpoints.done
    assert publishing.MOVING == step.token


def test_an_endpoint_that_someone_else_moves_is_waited_for_then_moved():
    world = World().serve("old", "Updating")

    step = world.advance()
    assert [] == world.endpoints.done

    world.serve("another")
    world.advance(step.token)
    assert [f"update stable {CONFIG}"] == world.endpoints.done


def test_an_endpoint_that_vanishes_while_it_moves_is_a_failure():
    with pytest.raises(Failed, match="vanished"):
        World().advance(publishing.MOVING)


@pytest.mark.parametrize("status", ["ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "CREATE_FAILED"])
def test_a_stack_that_is_rolled_back_says_the_cause(status):
    world = World().serve(CONFIG)
    world.stacks.set("api", status, "Serving: no such key")

    with pytest.raises(Failed, match=f"{status}: Serving: no such key"):
        world.advance(publishing.APPLYING)


def test_a_stack_that_was_never_created_is_made_anew():
    world = World().serve(CONFIG)
    world.stacks.set("api", "ROLLBACK_COMPLETE")

    step = world.advance()
    assert ["api"] == world.stacks.deleted

    world.advance(step.token)
    assert 1 == len(world.stacks.applied)


def test_a_stack_that_someone_else_changes_is_waited_for_then_applied():
    world = World().serve(CONFIG)
    world.stacks.set("api", "UPDATE_IN_PROGRESS")

    step = world.advance()
    assert [] == world.stacks.applied

    world.stacks.set("api", "UPDATE_COMPLETE")
    world.advance(step.token)
    assert 1 == len(world.stacks.applied)


def test_a_later_runs_candidate_stays():
    world = World().serve(CONFIG)
    world.endpoints.set("candidate", "InService", "gpt-neo-99999999-1")
    world.stacks.set("api", "UPDATE_COMPLETE")

    assert world.advance(publishing.APPLYING).token is None
    assert [] == world.endpoints.done


def test_a_candidate_that_changes_is_waited_for_after_the_version_serves():
    world = World().serve(CONFIG)
    world.endpoints.set("candidate", "Updating", CONFIG)
    world.stacks.set("api", "UPDATE_COMPLETE")

    step = world.advance(publishing.APPLYING)

    assert publishing.CANDIDATE == step.token
    assert NOW == world.registry.get(1).published


@pytest.mark.parametrize("status", ["pending", "rejected", "retired"])
def test_only_an_approved_version_is_published(status):
    world = World(status=status)

    with pytest.raises(Conflict, match="not approved"):
        world.advance()

    assert [] == world.endpoints.done


class Bucket:
    """A fleet's bucket that remembers what landed, or cannot be reached."""

    def __init__(self, fault=None):
        self.landed, self.fault = [], fault

    def land(self, name, artifact, sha256):
        if self.fault:
            raise self.fault
        self.landed.append((name, artifact, sha256))


def test_where_there_is_a_fleet_the_published_version_lands_there_in_the_end():
    world = World().serve(CONFIG)
    world.stacks.set("api", "UPDATE_COMPLETE")
    world.stacks.changes = False
    world.feed = Bucket()

    world.advance()

    assert [("gpt-neo", "s3://data/models/model.tar.gz", "ab")] == world.feed.landed


def test_a_fleet_that_cannot_be_fed_is_told_and_what_serves_serves():
    world = World().serve(CONFIG)
    world.stacks.set("api", "UPDATE_COMPLETE")
    world.stacks.changes = False
    world.feed = Bucket(Failed("the fleet's bucket is not there"))

    with pytest.raises(Failed, match="bucket is not there"):
        world.advance()

    assert NOW == world.registry.get(1).published
