"""Jobs: submitted many at once, listed, cancelled, done again."""

import json
import stat
from dataclasses import replace

import pytest
from webui_form import txt2img

from atelier_webui import history, results
from atelier_webui.abilities import EVERYTHING
from atelier_webui.errors import Problem, Refusal, Unreachable
from atelier_webui.history import History
from atelier_webui.jobs import Choice, Jobs
from atelier_webui.parameters import read

CHOICE = Choice(endpoint="sd-async-anna", checkpoint="tiny.safetensors")


def form(prompt="a cat", **changes):
    return read(txt2img(prompt=prompt, seed=7, width=64, height=64, **changes), abilities=EVERYTHING)


def test_many_jobs_are_submitted_without_waiting_for_one(cloud, jobs):
    ids = [id for number in range(5) for id in jobs.submit(form(f"slow {number}"), CHOICE)]

    assert ["inprogress"] * 5 == cloud.statuses()
    assert ids[::-1] == [each.InferenceJobId for each in jobs.page("txt2img").jobs]


def test_a_large_form_becomes_several_jobs(cloud, jobs):
    assert 3 == len(jobs.submit(form("slow", n_iter=80), CHOICE))
    assert [7, 39, 71] == [each["asked"]["seed"] for each in cloud.jobs.values()]


def test_parameters_that_are_large_are_uploaded_before_the_job_is_started(cloud, jobs, monkeypatch):
    monkeypatch.setattr("atelier_webui.jobs.MOST_INSIDE", 100)

    (id,) = jobs.submit(form("кошка 猫"), CHOICE)

    assert ("succeeded", "кошка 猫") == (cloud.jobs[id]["status"], cloud.jobs[id]["asked"]["prompt"])
    assert 1 == cloud.times("StartInferences")


def test_a_large_job_that_cannot_be_started_does_not_stay(cloud, jobs, monkeypatch):
    monkeypatch.setattr("atelier_webui.jobs.MOST_INSIDE", 100)

    def lost(*given):
        raise Unreachable("gone")

    jobs.client.put = lost
    with pytest.raises(Unreachable):
        jobs.submit(form(), CHOICE)
    assert ["cancelled"] == cloud.statuses()


def test_jobs_of_one_status_are_found_among_the_others(cloud, jobs):
    jobs.submit(form("slow"), CHOICE)
    jobs.submit(form("fail"), CHOICE)
    jobs.submit(form("a cat"), CHOICE)

    for status in ("inprogress", "failed", "succeeded"):
        assert [status] == [each.status for each in jobs.page("txt2img", status=status).jobs]
    assert () == jobs.page("txt2img", status="cancelled").jobs
    assert () == jobs.page("img2img").jobs


def test_a_job_that_failed_is_tried_again_with_the_same_parameters(cloud, jobs):
    (id,) = jobs.submit(form("slow", steps=33), CHOICE)
    jobs.cancel(id)

    again = jobs.retry(id)

    first, second = (cloud.jobs[each]["asked"] for each in (id, again))
    assert first == second
    assert ["cancelled", "inprogress"] == cloud.statuses()


def test_a_job_of_another_computer_cannot_be_tried_again(jobs, tmp_path):
    (id,) = jobs.submit(form(), CHOICE)

    with pytest.raises(Problem, match="from another computer"):
        Jobs(jobs.client, History(tmp_path / "elsewhere")).retry(id)


def test_the_parameters_of_a_job_are_used_again(jobs, tmp_path):
    (id,) = jobs.submit(form("a cat", negative_prompt="fog"), CHOICE)

    here = jobs.infotext(id)
    elsewhere = Jobs(jobs.client, History(tmp_path / "elsewhere")).infotext(id)

    for text in (here, elsewhere):
        assert text.startswith("a cat\nNegative prompt: fog\nSteps: 20, Sampler: DPM++ 2M")
        assert "Seed: 7" in text


def test_the_parameters_of_a_job_that_nobody_remembers_are_said_to_be_unknown(jobs, tmp_path):
    (id,) = jobs.submit(form("slow"), CHOICE)

    with pytest.raises(Problem, match="not known here"):
        Jobs(jobs.client, History(tmp_path / "elsewhere")).infotext(id)


def test_a_job_is_deleted_with_its_images(cloud, jobs):
    (id,) = jobs.submit(form(), CHOICE)

    jobs.delete(id)

    assert {} == cloud.jobs


def test_a_lora_that_a_prompt_names_goes_along(cloud, jobs):
    cloud.checkpoint("style.v2.safetensors", type="Lora", status="Active")
    found = jobs.orders(form("a <lora:style.v2:0.8> cat"), CHOICE)[0].models

    assert {"Stable-diffusion": ("tiny.safetensors",), "Lora": ("style.v2.safetensors",)} == found


def test_a_lora_that_is_not_in_the_cloud_is_named(jobs):
    with pytest.raises(Problem, match="no Lora style in the cloud"):
        jobs.submit(form("<lora:style:1> a cat"), CHOICE)


def test_a_vae_of_the_accordion_or_of_the_settings_goes_along_by_name(cloud, jobs):
    for name in ("clear.safetensors", "soft.safetensors"):
        cloud.checkpoint(name, type="VAE", status="Active")
    by_setting = form(override_settings={"sd_vae": "soft.safetensors"})

    for choice, name in ((CHOICE, "soft"), (replace(CHOICE, vae="clear.safetensors"), "clear")):
        (id,) = jobs.submit(by_setting, choice)
        assert [{"model_name": f"{name}.safetensors"}] == cloud.jobs[id]["params"]["used_models"]["VAE"]
        assert f"{name}.safetensors" == cloud.jobs[id]["asked"]["override_settings"]["sd_vae"]


def test_a_vae_that_is_not_in_the_cloud_is_named_and_nothing_is_sent(cloud, jobs):
    with pytest.raises(Problem, match=r"no VAE anime\.vae\.pt in the cloud"):
        jobs.submit(form(override_settings={"sd_vae": "anime.vae.pt"}), CHOICE)
    assert {} == cloud.jobs


def test_an_embedding_goes_along_when_a_prompt_says_its_name_as_a_word(cloud, jobs):
    for name in ("easy.safetensors", "eas.safetensors", "bad-hands.safetensors", "c++.safetensors"):
        cloud.checkpoint(name, type="embeddings", status="Active")
    asked = form("an uneasy cat, (Easy:1.1)", negative_prompt="bad-hands, c++")

    expected = ("easy.safetensors", "bad-hands.safetensors", "c++.safetensors")
    assert expected == jobs.orders(asked, CHOICE)[0].models["embeddings"]


def test_who_may_not_list_networks_can_do_without_them_when_none_is_named(cloud, jobs):
    cloud.roles["artist"]["permissions"] = ["inference:all"]

    assert 1 == len(jobs.submit(form("a cat"), CHOICE))
    with pytest.raises(Refusal, match="no permissions"):
        jobs.submit(form("a <lora:style:1> cat"), CHOICE)


def test_the_checkpoint_is_named_as_the_webuis_api_does(cloud, jobs):
    (id,) = jobs.submit(form(override_settings={"CLIP_stop_at_last_layers": 2}), CHOICE)

    settings = {"CLIP_stop_at_last_layers": 2, "sd_model_checkpoint": "tiny.safetensors"}
    assert settings == cloud.jobs[id]["asked"]["override_settings"]


def test_a_thumbnail_is_small_and_a_job_without_an_image_has_none(jobs):
    (id,) = jobs.submit(form(), CHOICE)
    (slow,) = jobs.submit(form("slow"), CHOICE)

    small = results.thumbnail(jobs.client.inference(id), jobs.client, size=16)

    assert (16, 16) == small.size
    assert results.thumbnail(jobs.client.inference(slow), jobs.client) is None


def test_what_the_cloud_does_not_tell_the_form_does(cloud, jobs):
    asked = form("a cat", n_iter=2)
    (id,) = jobs.submit(asked, CHOICE)
    cloud.objects[f"{id}/output.json"] = json.dumps({"info": "{nonsense"}).encode()

    found = results.fetch(jobs.client.inference(id), jobs.client, asked)

    assert [(7, "a cat"), (8, "a cat")] == [(each.seed, each.prompt) for each in found.pictures]
    assert "Seed: 8" in found.pictures[1].infotext


@pytest.mark.parametrize(
    "info", ["[]", '{"infotexts": "text", "all_seeds": {"0": 1}}', '{"infotexts": [1]}', "null"]
)
def test_nonsense_beside_an_image_does_no_harm(cloud, jobs, info):
    (id,) = jobs.submit(form(), CHOICE)
    cloud.objects[f"{id}/output.json"] = json.dumps({"info": info}).encode()

    (picture,) = results.fetch(jobs.client.inference(id), jobs.client, form()).pictures

    assert (7, True) == (picture.seed, "Seed: 7" in picture.infotext)


@pytest.mark.parametrize("size", [0, 10, 100, -1])
def test_an_image_that_is_cut_short_is_no_image(cloud, jobs, size):
    (id,) = jobs.submit(form(), CHOICE)
    key = f"{id}/image_0.png"
    cloud.objects[key] = cloud.objects[key][:size] if size >= 0 else cloud.objects[key][:-30]

    with pytest.raises(Problem, match="no image that can be read"):
        results.fetch(jobs.client.inference(id), jobs.client)


def test_an_image_whose_link_is_dead_is_a_refusal(cloud, jobs):
    (id,) = jobs.submit(form(), CHOICE)
    del cloud.objects[f"{id}/image_0.png"]

    with pytest.raises(Refusal, match="S3 answered 404 NoSuchKey"):
        results.fetch(jobs.client.inference(id), jobs.client)


def test_what_was_asked_is_kept_for_its_owner_alone(jobs):
    (id,) = jobs.submit(form(), CHOICE)

    (path,) = jobs.history.folder.iterdir()
    assert (f"{id}.json", 0o600) == (path.name, stat.S_IMODE(path.stat().st_mode))
    assert "token" not in path.read_text()


def test_the_oldest_jobs_are_forgotten(jobs, monkeypatch):
    monkeypatch.setattr(history, "MOST", 3)

    ids = [jobs.submit(form(str(number)), CHOICE)[0] for number in range(5)]

    assert [None, None] == [jobs.history.find(each) for each in ids[:2]]
    assert all(jobs.history.find(each) for each in ids[2:])


def test_no_more_is_remembered_than_there_is_room_for(jobs, monkeypatch):
    first, second = (jobs.submit(form(str(number)), CHOICE)[0] for number in range(2))
    size = (jobs.history.folder / f"{second}.json").stat().st_size
    monkeypatch.setattr(history, "MOST_BYTES", int(2.5 * size))

    (third,) = jobs.submit(form("2"), CHOICE)

    assert [False, True, True] == [bool(jobs.history.find(each)) for each in (first, second, third)]


def test_a_job_with_an_odd_id_is_submitted_all_the_same(jobs):
    jobs.history.keep("not a job's id", form(), CHOICE)

    assert jobs.history.find("not a job's id") is None


def test_a_full_disk_does_not_hide_that_a_job_runs(cloud, jobs, monkeypatch):
    def full(*given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("atelier_webui.private.write", full)

    assert jobs.submit(form(), CHOICE) == list(cloud.jobs)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"task": "txt2img"}', '{"task": 1, "payload": 2, "choice": 3}']
)
def test_a_broken_memory_is_no_memory(jobs, content):
    (id,) = jobs.submit(form(), CHOICE)
    (jobs.history.folder / f"{id}.json").write_text(content)

    assert jobs.history.find(id) is None


@pytest.mark.parametrize("id", ["../accounts", "7", "", "..\\x"])
def test_a_name_that_is_no_jobs_is_no_path(jobs, id):
    assert jobs.history.find(id) is None
