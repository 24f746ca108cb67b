"""Notebook instances and lifecycle configurations: what is recorded of them, and what is refused."""

import base64
import time

import pytest
from fakes import FakeEvents, FakeIdentity, FakeMetrics
from sagemaker_world import ROLE, ScriptEngine

from atelier.cloud.context import Cloud, Refused
from atelier.cloud.services.resources import Request
from atelier.cloud.services.sagemaker import notebook_instances
from atelier.cloud.services.sagemaker.plugin import PLUGIN
from atelier.cloud.services.wire import ServiceError
from atelier.cloud.store import Store

CONFIG = "NotebookInstanceLifecycleConfigName"
TYPES = {each.type.rpartition("::")[2]: each for each in PLUGIN.resources}


class World:
    """SageMaker in a cloud of fakes, and what a test asks of it."""

    def __init__(self, home):
        self.cloud = Cloud(
            home=home,
            endpoint="http://127.0.0.1:1",
            account="000000000000",
            region="us-east-1",
            store=Store(home / "atelier.sqlite"),
            identity=FakeIdentity(),
            events=FakeEvents(),
            metrics=FakeMetrics(),
            engine=ScriptEngine(),
        )

    def call(self, operation, **request):
        return PLUGIN.service.call(self.cloud, operation, request)

    def create(self, name="desk", **more):
        request = {"NotebookInstanceName": name, "InstanceType": "ml.t3.medium", "RoleArn": ROLE, **more}
        return self.call("CreateNotebookInstance", **request)["NotebookInstanceArn"]

    def do(self, operation, name="desk", **more):
        """Do something to an instance, and return what becomes of it."""
        self.call(f"{operation}NotebookInstance", NotebookInstanceName=name, **more)
        return self.settled(name)

    def describe(self, name="desk"):
        return self.call("DescribeNotebookInstance", NotebookInstanceName=name)

    def settled(self, name="desk"):
        deadline = time.monotonic() + 60
        while (found := self.describe(name))["NotebookInstanceStatus"] in notebook_instances.SETTLED:
            assert time.monotonic() < deadline, found
            time.sleep(0.02)
        return found

    def configure(self, script="true", name="scripts", moment="OnStart"):
        self.call("CreateNotebookInstanceLifecycleConfig", **{CONFIG: name, moment: [written(script)]})

    def names(self, **request):
        listed = self.call("ListNotebookInstances", **request)["NotebookInstances"]
        return [each["NotebookInstanceName"] for each in listed]


def written(script):
    return {"Content": base64.b64encode(script.encode()).decode()}


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    PLUGIN.service.stop(made.cloud)
    made.cloud.store.close()


def test_an_instance_is_pending_then_in_service_and_says_what_it_is(world):
    arn = world.create(RootAccess="Disabled", VolumeSizeInGB=20)

    assert "Pending" == world.describe()["NotebookInstanceStatus"]
    found = world.settled()
    assert "arn:aws:sagemaker:us-east-1:000000000000:notebook-instance/desk" == arn
    expected = {"NotebookInstanceStatus": "InService", "RootAccess": "Disabled", "VolumeSizeInGB": 20}
    assert expected.items() <= found.items()
    assert "Url" not in found


def test_an_instance_stops_changes_and_starts_again(world):
    world.create()
    world.settled()
    world.configure()

    assert "Stopped" == world.do("Stop")["NotebookInstanceStatus"]
    changed = world.do("Update", InstanceType="ml.m5.xlarge", LifecycleConfigName="scripts")
    assert ("Stopped", "ml.m5.xlarge") == (changed["NotebookInstanceStatus"], changed["InstanceType"])
    assert "scripts" == world.do("Start")[CONFIG]


def test_what_is_deleted_is_gone_with_its_tags(world):
    arn = world.create(Tags=[{"Key": "of", "Value": "tests"}])
    world.settled()
    world.do("Stop")

    world.call("DeleteNotebookInstance", NotebookInstanceName="desk")

    with pytest.raises(ServiceError, match="RecordNotFound"):
        world.settled()
    assert [] == world.call("ListTags", ResourceArn=arn)["Tags"]


@pytest.mark.parametrize("operation", ["Start", "Update", "Delete"])
def test_an_instance_in_service_has_to_be_stopped_first(world, operation):
    world.create()
    world.settled()

    with pytest.raises(ServiceError, match=r"Status \(InService\) not in \(\[Stopped, Failed\]\)"):
        world.do(operation)


def test_a_name_is_taken_once(world):
    world.create()

    with pytest.raises(ServiceError, match="Cannot create a duplicate Notebook Instance"):
        world.create()


@pytest.mark.parametrize(
    ("member", "words"),
    [
        ({"DirectInternetAccess": "Disabled"}, "needs a SubnetId"),
        ({"SecurityGroupIds": ["sg-1"]}, "needs a SubnetId"),
        ({"SubnetId": "subnet-1"}, "SecurityGroupIds is required"),
        ({"SubnetId": "subnet-1", "SecurityGroupIds": ["sg-1"]}, "SubnetId: .*subnet-1"),
        ({"LifecycleConfigName": "absent"}, "Unable to find Notebook Instance Lifecycle Config"),
        ({"InstanceType": "ml.enormous"}, "is not one of"),
        ({"VolumeSizeInGB": 4}, "VolumeSizeInGB"),
        ({"NotebookInstanceName": "un_der"}, "does not match"),
    ],
)
def test_an_instance_that_could_not_be_is_refused_and_nothing_is_left(world, member, words):
    with pytest.raises(ServiceError, match=words):
        world.create(**{"name": "desk", **member})

    assert [] == world.names()


def test_what_is_not_part_of_the_local_cloud_is_refused_by_name(world):
    with pytest.raises(Refused, match=r"CreateNotebookInstance\.DefaultCodeRepository is not part"):
        world.create(DefaultCodeRepository="https://example.invalid/code.git")


def test_there_is_no_url_to_open_where_nothing_answers(world):
    world.create()

    with pytest.raises(ServiceError, match="runs no Jupyter for desk"):
        world.call("CreatePresignedNotebookInstanceUrl", NotebookInstanceName="desk")


def test_a_change_that_a_kill_interrupted_ends_at_the_next_start(world):
    world.create()
    world.create("other")
    for name, status in (("desk", "Stopping"), ("other", "Deleting")):
        notebook_instances.notebook_instances(world.cloud).change(name, NotebookInstanceStatus=status)

    notebook_instances.take_up(world.cloud)

    assert "Stopped" == world.describe()["NotebookInstanceStatus"]
    assert ["desk"] == world.names()


def test_instances_are_listed_by_name_and_status(world):
    for name in ("desk", "table", "desktop"):
        world.create(name)
        world.settled(name)
    world.do("Stop", "table")

    assert ["desk", "desktop"] == world.names(NameContains="desk", SortBy="Name", SortOrder="Ascending")
    assert ["table"] == world.names(StatusEquals="Stopped")


def test_a_configuration_keeps_its_scripts_and_takes_new_ones(world):
    world.configure("echo one")
    world.call("UpdateNotebookInstanceLifecycleConfig", **{CONFIG: "scripts", "OnStart": [written("echo 2")]})

    found = world.call("DescribeNotebookInstanceLifecycleConfig", **{CONFIG: "scripts"})

    assert [written("echo 2")] == found["OnStart"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("no base64!", "OnStart: Content is not a base64-encoded text"),
        (written("if true\nthen")["Content"], "OnStart: bash: line"),
        (written("#!/usr/bin/python3\nprint()")["Content"], "is no shell"),
        (base64.b64encode(b"\xff\xfe").decode(), "is not a base64-encoded text"),
        (written("#" * 12_300)["Content"], "at most 16384"),
    ],
)
def test_a_script_that_no_instance_could_run_is_refused(world, content, words):
    with pytest.raises(ServiceError, match=words):
        world.call(
            "CreateNotebookInstanceLifecycleConfig", **{CONFIG: "scripts", "OnStart": [{"Content": content}]}
        )

    assert [] == world.call("ListNotebookInstanceLifecycleConfigs")["NotebookInstanceLifecycleConfigs"]


def test_a_configuration_that_an_instance_starts_with_stays(world):
    world.configure()
    world.create(LifecycleConfigName="scripts")

    with pytest.raises(ServiceError, match="is the lifecycle configuration of desk"):
        world.call("DeleteNotebookInstanceLifecycleConfig", **{CONFIG: "scripts"})


def wanted(kind, **properties):
    """What CloudFormation asks for."""
    return Request(stack="s", logical_id=kind, properties=properties, name="s-desk")


def test_cloudformation_makes_changes_and_deletes_an_instance(world):
    scripts = TYPES["NotebookInstanceLifecycleConfig"]
    config = scripts.create(world.cloud, wanted("Scripts", OnStart=[written("true")]))
    kind, asked = TYPES["NotebookInstance"], {"InstanceType": "ml.t3.medium", "RoleArn": ROLE}
    asked |= {"LifecycleConfigName": config.attributes[CONFIG], "NotebookInstanceName": "desk"}

    made = kind.create(world.cloud, wanted("Desk", **asked))
    changed = kind.update(world.cloud, made.ref, wanted("Desk", **{**asked, "VolumeSizeInGB": "30"}))

    found = world.describe()
    assert (made, "InService", 30) == (changed, found["NotebookInstanceStatus"], found["VolumeSizeInGB"])
    kind.delete(world.cloud, made.ref, asked)
    scripts.delete(world.cloud, config.ref, {})
    assert [] == world.names()


def test_cloudformation_makes_another_instance_where_one_cannot_change(world):
    kind, asked = TYPES["NotebookInstance"], {"InstanceType": "ml.t3.medium", "RoleArn": ROLE}
    first = kind.create(world.cloud, wanted("Desk", **asked))

    second = kind.update(world.cloud, first.ref, wanted("Desk", KmsKeyId="key", **asked))

    assert first.ref != second.ref
    assert 2 == len(world.names())
    named = kind.create(world.cloud, wanted("Named", NotebookInstanceName="named", **asked))
    with pytest.raises(Refused, match="has a custom name: rename named"):
        changed = {"NotebookInstanceName": "named", "KmsKeyId": "key", **asked}
        kind.update(world.cloud, named.ref, wanted("Named", **changed))
