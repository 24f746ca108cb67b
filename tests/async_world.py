"""What tests of asynchronous endpoints share: endpoints, requests, and where their answers come."""

import asyncio
import json
import time

from sagemaker_world import ECHO

from atelier.cloud.services.sagemaker.plugin import PLUGIN

SOURCE = f"VERSION = 'v1'\n{ECHO}"

GAUGE = """
import os, http.server, threading, time
lock, now = threading.Lock(), 0
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def do_POST(self):
        global now
        with lock:
            now += 1
            seen = now
        time.sleep(0.15)
        with lock:
            now -= 1
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(seen).encode())
    def log_message(self, *args):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler)
server.serve_forever()
"""


class Post:
    def __init__(self, cloud, name):
        sns, self.sqs = cloud.client("sns"), cloud.client("sqs")
        self.queue = self.sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = f"arn:aws:sqs:us-east-1:000000000000:{name}"
        self.topics = [sns.create_topic(Name=f"{name}-{each}")["TopicArn"] for each in ("good", "bad")]
        principal = {"Service": "sns.amazonaws.com"}
        statement = {"Effect": "Allow", "Principal": principal, "Action": "sqs:SendMessage", "Resource": arn}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.sqs.set_queue_attributes(QueueUrl=self.queue, Attributes={"Policy": policy})
        for topic in self.topics:
            sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        self.come = []

    def __call__(self):
        got = self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10, WaitTimeSeconds=0)
        for message in got.get("Messages", []):
            envelope = json.loads(message["Body"])
            self.come.append((envelope["TopicArn"], json.loads(envelope["Message"])))
            self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
        return self.come

    def config(self):
        return dict(zip(("SuccessTopic", "ErrorTopic"), self.topics, strict=True))


def asynchronous(world, post=None, concurrency=None):
    """An AsyncInferenceConfig with its paths in the world's bucket."""
    output = {
        "S3OutputPath": f"s3://{world.bucket}/answers/",
        "S3FailurePath": f"s3://{world.bucket}/failures",
        **({"NotificationConfig": post.config()} if post else {}),
    }
    client = {"ClientConfig": {"MaxConcurrentInvocationsPerInstance": concurrency}} if concurrency else {}
    return {"OutputConfig": output, **client}


def serve(world, name="slow", post=None, concurrency=None, source=SOURCE, **variant):
    config = world.config(
        name, world.image(name, source), asynchronous=asynchronous(world, post, concurrency), **variant
    )
    described = world.endpoint(name, config)
    assert "InService" == described["EndpointStatus"], described


def send(world, name="slow", *, body=b"hello", location=None, **headers):
    """Invoke the endpoint; return status, the locations by name, and the document."""
    location = location or world.put(f"in/{time.monotonic_ns()}", body)
    sent = {"X-Amzn-SageMaker-InputLocation": location}
    sent |= {f"X-Amzn-SageMaker-{key}": str(value) for key, value in headers.items()}
    path = f"/endpoints/{name}/async-invocations"
    status, given, document = asyncio.run(PLUGIN.rest(world.cloud, "POST", path, sent, b""))
    return status, given, json.loads(document)


def object_at(world, uri):
    try:
        return world.get(uri)
    except world.s3.exceptions.NoSuchKey:
        return None


def answered(world, given, patience=60):
    uri = given["X-Amzn-SageMaker-OutputLocation"]
    return world.until(lambda: object_at(world, uri), lambda body: body is not None, patience)


def failed(world, given):
    uri = given["X-Amzn-SageMaker-FailureLocation"]
    return world.until(lambda: object_at(world, uri), lambda body: body is not None)


def scale(world, name, count):
    change = {"VariantName": "AllTraffic", "DesiredInstanceCount": count}
    world.call("UpdateEndpointWeightsAndCapacities", EndpointName=name, DesiredWeightsAndCapacities=[change])
    return world.settled(name)["ProductionVariants"][0]["CurrentInstanceCount"]


def waiting(world):
    return [record for _, record in world.cloud.store.table("sagemaker.async-requests").items()]
