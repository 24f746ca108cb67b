"""Endpoints and inferences in the running cloud: a picture, then no instance, then a picture again."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from account_fakes import FakeAccounts, with_role
from conftest import start_cloud
from inference_fakes import PIXEL, FakeCheckpoints, a_job, an_endpoint
from small_images import push
from tables import create

from atelier.cloud.gateway import launch
from atelier.contract import tables
from atelier.lambdas.adapters.endpoints import DynamoEndpoints
from atelier.lambdas.adapters.fleet import Parts, SageMakerFleet, SageMakerLauncher
from atelier.lambdas.adapters.inferences import DynamoInferences
from atelier.lambdas.adapters.invocations import SageMakerInvocations
from atelier.lambdas.adapters.objects import S3Objects
from atelier.lambdas.adapters.scaling import ApplicationScaling
from atelier.lambdas.domain.accounts import Caller, User
from atelier.lambdas.handlers.results import read
from atelier.lambdas.services.middleware import endpoints, inferences, results

PAINTER = """
import base64, http.server, json, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.reply(200, {})
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if asked["params"].get("sampler_name") == "Unknown":
            return self.reply(400, {"message": "no such sampler"})
        picture = base64.b64encode(PIXEL).decode()
        self.reply(200, {"id": asked["id"], "images": [picture], "parameters": asked["params"], "info": "{}"})
    def reply(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler)
server.serve_forever()
""".replace("PIXEL", repr(PIXEL))
WORK = [
    {
        "Effect": "Allow",
        "Action": ["s3:GetObject", "s3:PutObject", "logs:*", "ecr:BatchGetImage", "sns:Publish"],
        "Resource": "*",
    }
]
ANN = Caller(user=User(name="ann", roles=("painter",), creator="api"))
MINUTE = 0.5
"""Seconds that a minute of alarms takes here."""


@pytest.fixture
def own_cloud():
    home = Path(tempfile.mkdtemp(prefix="atelier-"))
    (home / "sagemaker.json").write_text(json.dumps({"metrics_interval": 0.1, "serving_grace": 2}))
    (home / "autoscaling.json").write_text(json.dumps({"interval": 0.1, "minute": MINUTE}))
    yield start_cloud(home)
    launch.stop(home)
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def studio(own_cloud, role):
    """The services of the middleware, on real tables, a real bucket and real endpoints."""
    client = own_cloud.client
    client("s3").create_bucket(Bucket="bucket")
    create(client("dynamodb"), "endpoints", tables.ENDPOINTS)
    create(client("dynamodb"), "inferences", tables.INFERENCES)
    image = push(own_cloud, "painter", {"app.py": PAINTER}, ["python", "app.py"], tag="v1")
    topics, queue = told(client)
    accounts = FakeAccounts()
    with_role(accounts, "painter", "inference:all")
    kept = DynamoEndpoints(client("dynamodb"), "endpoints")
    return SimpleNamespace(
        client=client,
        queue=queue,
        accounts=accounts,
        launcher=SageMakerLauncher(
            client("sagemaker"),
            Parts(
                image=image,
                role_arn=role(own_cloud, WORK, "sagemaker.amazonaws.com"),
                bucket="bucket",
                success_topic_arn=topics[0],
                error_topic_arn=topics[1],
            ),
        ),
        watched=endpoints.World(
            endpoints=kept,
            fleet=SageMakerFleet(client("sagemaker")),
            scaling=ApplicationScaling(client("application-autoscaling"), client("cloudwatch")),
        ),
        world=inferences.World(
            jobs=DynamoInferences(client("dynamodb"), "inferences"),
            objects=S3Objects(client("s3"), "bucket"),
            invocations=SageMakerInvocations(client("sagemaker-runtime")),
            endpoints=kept,
        ),
    )


def told(client):
    """Make topics with a queue behind both."""
    url = client("sqs").create_queue(QueueName="notices")["QueueUrl"]
    arn = "arn:aws:sqs:us-east-1:000000000000:notices"
    principal = {"Service": "sns.amazonaws.com"}
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sqs:SendMessage", "Resource": arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    topics = [client("sns").create_topic(Name=each)["TopicArn"] for each in ("success", "error")]
    for each in topics:
        client("sns").subscribe(TopicArn=each, Protocol="sqs", Endpoint=arn)
    return topics, url


def now():
    return datetime.now(UTC).isoformat(timespec="microseconds")


def until(look, is_so, seconds=60):
    end = time.monotonic() + seconds
    while not is_so(seen := look()):
        assert time.monotonic() < end, seen
        time.sleep(0.1)
    return seen


def make(studio, **changes):
    return endpoints.create(
        an_endpoint(**changes),
        id=str(uuid.uuid4()),
        now=now(),
        registry="",
        caller=ANN,
        world=studio.watched,
        launcher=studio.launcher,
        accounts=studio.accounts,
    ).name


def look(studio, name):
    return endpoints.refresh(name, now=now(), world=studio.watched)


def paint(studio, payload="{}", **changes):
    return inferences.create(
        a_job(payload_string=payload, **changes),
        id=str(uuid.uuid4()),
        now=now(),
        caller=ANN,
        world=studio.world,
        checkpoints=FakeCheckpoints(),
    )


def deliver(studio):
    """Take the notices that have come."""
    sqs = studio.client("sqs")
    for each in sqs.receive_message(QueueUrl=studio.queue, MaxNumberOfMessages=10).get("Messages", []):
        result = read(each["Body"])
        assert result is not None
        results.take(result, now=now(), jobs=studio.world.jobs, objects=studio.world.objects)
        sqs.delete_message(QueueUrl=studio.queue, ReceiptHandle=each["ReceiptHandle"])


def ended(studio, job):
    def seen():
        deliver(studio)
        return studio.world.jobs.get(job.id)

    return until(seen, lambda each: each.is_finished)


def keys(studio, prefix):
    found = studio.client("s3").list_objects_v2(Bucket="bucket", Prefix=prefix)
    return [each["Key"] for each in found.get("Contents", [])]


def test_an_endpoint_paints_sleeps_wakes_and_goes(studio):
    name = make(studio)
    until(lambda: look(studio, name), lambda seen: seen.status == "InService")

    done = ended(studio, first := paint(studio))
    assert ("succeeded", ("image_0.png",)) == (done.status, done.images)
    assert PIXEL == studio.world.objects.read(done.image_key("image_0.png"), 1000)
    refused = ended(studio, paint(studio, '{"sampler_name": "Unknown"}'))
    assert ("failed", "no such sampler") == (refused.status, refused.error)
    assert [] == keys(studio, "async/")

    until(lambda: look(studio, name), lambda seen: (seen.status, seen.instances) == ("InService", 0))
    woken = ended(studio, paint(studio))
    assert "succeeded" == woken.status

    inferences.delete([first.id, refused.id, woken.id], caller=ANN, world=studio.world)
    endpoints.delete([name], world=studio.watched)
    until(lambda: look(studio, name), lambda seen: seen is None)
    assert [] == keys(studio, "")
    sagemaker = studio.client("sagemaker")
    assert ([], [], []) == (
        sagemaker.list_endpoints()["Endpoints"],
        sagemaker.list_endpoint_configs()["EndpointConfigs"],
        sagemaker.list_models()["Models"],
    )
    until(lambda: studio.client("cloudwatch").describe_alarms()["MetricAlarms"], lambda rows: not rows)


def test_a_real_time_endpoint_answers_at_once(studio):
    name = make(studio, endpoint_type="Real-time")
    until(lambda: look(studio, name), lambda seen: seen.status == "InService")

    done = paint(studio, inference_type="Real-time")

    assert ("succeeded", ("image_0.png",)) == (done.status, done.images)
