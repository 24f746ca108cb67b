"""The WebUI extension's core against the deployed middleware: what an artist does, and what goes wrong."""

import struct
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import studio as shop

from atelier.contract.operations import VERSION

sys.path.append(str(Path(__file__).parents[1] / "extension"))

from webui_form import img2img, txt2img

from atelier_webui import uploads
from atelier_webui.accounts import account
from atelier_webui.client import Client
from atelier_webui.contract.api.endpoints import CreateEndpointRequest
from atelier_webui.errors import JobFailed, Misunderstood, Refusal
from atelier_webui.generation import generate
from atelier_webui.history import History
from atelier_webui.jobs import Choice, Jobs
from atelier_webui.parameters import read
from atelier_webui.uploads import Upload

MIB = 1024 * 1024


class Watch:
    """Nobody who interrupts, unless told to."""

    def __init__(self, interrupts=lambda: False):
        self.interrupted = interrupts
        self.shown = []

    def skipped(self):
        return False

    def show(self, progress):
        self.shown.append(progress)


@pytest.fixture(scope="module")
def client(studio):
    found = Client(account("studio", studio.url, studio.token, "api"))
    yield found
    found.close()


@pytest.fixture
def jobs(client, tmp_path):
    return Jobs(client, History(tmp_path / "history"))


@pytest.fixture(scope="module")
def choice(studio, client, tmp_path_factory):
    """An endpoint, and a checkpoint that the extension has uploaded."""
    path = tmp_path_factory.mktemp("models") / "extension.safetensors"
    path.write_bytes(shop.safetensors())
    Upload(client, [path], "Stable-diffusion").run()
    return Choice(endpoint=shop.painter(studio, "extension"), checkpoint=path.name)


def made(jobs, choice, watch=None, processing=txt2img, **changes):
    form = read(processing(**{"prompt": "a canvas", "seed": 7, "width": 64, "height": 64, **changes}))
    return generate(form, choice, jobs=jobs, watch=watch or Watch())


def tensors(path, size):
    """A file of one tensor that is as large as is asked."""
    count = size - 200
    header = b'{"t":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}' % (count, count)
    header += b" " * (-len(header) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + count)
    return path


def test_a_connection_is_tested(client):
    assert VERSION == client.check().version


def test_a_users_own_token_needs_no_name_and_fits_with_few_permissions(studio):
    client = Client(account("few", studio.url, studio.user("webui-few", "inference:create")))

    assert VERSION == client.check().version
    client.close()


@pytest.mark.parametrize(
    ("token", "username", "words"),
    [
        ("mistyped", "api", "does not know this token"),
        (None, "nobody", "there is no such user"),
        (None, "", "needs a user name"),
    ],
)
def test_a_connection_that_does_not_work_says_why(studio, token, username, words):
    client = Client(account("bad", studio.url, token or studio.token, username))

    with pytest.raises(Refusal, match=words):
        client.check()
    client.close()


def test_a_url_that_is_not_the_middlewares_is_said_to_be(studio):
    client = Client(account("bad", studio.url.replace("/prod/", "/nowhere/"), studio.token, "api"))

    with pytest.raises((Refusal, Misunderstood)):
        client.check()
    client.close()


def test_what_is_asked_for_comes_back(jobs, choice):
    watch = Watch()
    result = made(jobs, choice, watch, batch_size=2, n_iter=2)

    assert [7, 8, 9, 10] == [each.seed for each in result.pictures]
    assert {((64, 64), (0, 128, 255))} == {
        (each.image.size, each.image.getpixel((9, 9))) for each in result.pictures
    }
    assert "In the cloud on" in watch.shown[-1].text


def test_img2img_takes_its_image_along(jobs, choice):
    assert 1 == len(made(jobs, choice, processing=img2img).pictures)


def test_parameters_that_are_large_reach_the_endpoint(jobs, choice, monkeypatch):
    monkeypatch.setattr("atelier_webui.jobs.MOST_INSIDE", 100)

    assert 1 == len(made(jobs, choice, processing=img2img).pictures)


def test_a_job_that_fails_says_why_in_the_containers_words(jobs, choice):
    with pytest.raises(JobFailed, match="no such picture"):
        made(jobs, choice, prompt="refuse")


def test_an_answer_that_is_no_image_is_called_so(jobs, choice):
    with pytest.raises(Misunderstood, match="is no image"):
        made(jobs, choice, prompt="a pixel")


def test_interrupt_cancels_the_job(client, jobs, choice):
    watch = Watch()
    watch.interrupted = lambda: any("In the cloud" in each.text for each in watch.shown)
    order = jobs.orders(read(txt2img(prompt="a canvas", seed=7)), choice)[0]
    send = jobs.send
    jobs.send = lambda given: send(slowed(given, 20))

    result = generate(order.form, choice, jobs=jobs, watch=watch)

    assert () == result.pictures
    (newest, *_) = jobs.page("txt2img", limit=1).jobs
    assert "cancelled" == newest.status


def slowed(order, seconds):
    """The same order, for which the painter takes its time."""
    form = SimpleNamespace(task=order.form.task, payload={**order.form.payload, "seconds": seconds})
    return SimpleNamespace(form=form, choice=order.choice, models=order.models)


def test_many_jobs_are_submitted_and_listed_and_tried_again(client, jobs, choice):
    form = read(txt2img(prompt="a canvas", seed=1, width=64, height=64))
    ids = [jobs.submit(form, choice)[0] for _ in range(4)]

    for each in ids:
        shop.until(lambda each=each: client.inference(each).status == "succeeded")
    again = jobs.retry(ids[0])

    listed = [each.InferenceJobId for each in jobs.page("txt2img", limit=10).jobs]
    assert [again, *ids[::-1]] == listed[:5]
    assert set(ids) <= {each.InferenceJobId for each in jobs.page("txt2img", status="succeeded").jobs}
    assert jobs.infotext(again).startswith("a canvas\nSteps: 20")
    jobs.delete(*ids, again)
    assert not {again, *ids} & {each.InferenceJobId for each in jobs.page("txt2img", limit=20).jobs}


def test_a_checkpoint_is_uploaded_in_parts_used_renamed_and_deleted(client, jobs, choice, tmp_path):
    path, shown = tensors(tmp_path / "large.safetensors", 40 * MIB), []
    id = Upload(client, [path], "Stable-diffusion", show=lambda *told: shown.append(told)).run()

    assert (path.stat().st_size,) * 2 == shown[-1]
    large = Choice(endpoint=choice.endpoint, checkpoint=path.name)
    assert 1 == len(made(jobs, large).pictures)
    client.rename_checkpoint(id, "larger")
    assert ("larger.safetensors",) == next(each.name for each in client.checkpoints() if each.id == id)
    client.delete_checkpoints([id])
    assert id not in {each.id for each in client.checkpoints()}


def test_an_upload_that_is_cut_goes_on(client, tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "ATTEMPTS", 1)
    path = tensors(tmp_path / "cut.safetensors", 40 * MIB)
    far = Client(client.account)
    going = Upload(far, [path], "Stable-diffusion")
    put, links = far.put, []

    def third_fails(link, body, **more):
        links.append(link)
        if len(links) == 3:
            body.read(1)
            raise Refusal(500, "S3 answered 500")
        return put(link, body, **more)

    far.put = third_fails
    with pytest.raises(Refusal):
        going.run()
    id = going.run()
    far.close()

    assert 4 == len(links)
    assert "Active" == next(each.status for each in client.checkpoints() if each.id == id)
    client.delete_checkpoints([id])


def test_a_broken_checkpoint_is_refused_in_the_middlewares_words(client, tmp_path):
    path = tmp_path / "broken.safetensors"
    path.write_bytes(struct.pack("<Q", 20) + b'{"t": "no tensors"}!' + bytes(100))

    with pytest.raises(Refusal, match=r"broken\.safetensors"):
        Upload(client, [path], "Stable-diffusion").run()


def test_an_endpoint_that_cannot_be_made_is_refused_in_the_middlewares_words(client):
    wanted = CreateEndpointRequest(
        endpoint_type="Async",
        instance_type="ml.g4dn.xlarge",
        initial_instance_count=1,
        autoscaling_enabled=False,
        assign_to_roles=("no such role",),
        endpoint_name="webui",
    )

    with pytest.raises(Refusal, match="no such role"):
        client.create_endpoint(wanted)
    assert "IT Operator" in client.roles()
