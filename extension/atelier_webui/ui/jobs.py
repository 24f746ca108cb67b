"""The jobs in the cloud: seen, taken over, saved, cancelled, done again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from atelier_webui import host
from atelier_webui.compat import gallery, listen, paste_buttons
from atelier_webui.desk import Desk
from atelier_webui.errors import Problem
from atelier_webui.ui import words
from atelier_webui.ui.answers import CONFIRMED, confirming, pressing, telling
from atelier_webui.ui.cards import cards, html
from atelier_webui.ui.thumbnails import Thumbnails

TASKS = ["txt2img", "img2img"]
STATUSES = ["all", "created", "inprogress", "succeeded", "failed", "cancelled"]
LIMIT = 24
CHOSEN = "atelier_job"
REFRESH = "atelier_jobs_refresh"


@dataclass(frozen=True)
class Pane:
    """The components that more than one event needs."""

    account: Any
    task: Any
    status: Any
    message: Any
    listed: Any
    older: Any
    next: Any
    job: Any

    @property
    def asked(self) -> list[Any]:
        """Return what a list is made of."""
        return [self.account, self.task, self.status]

    @property
    def shown(self) -> list[Any]:
        """Return what a list goes to."""
        return [self.message, self.listed, self.next]


def build(desk: Desk, account: Any) -> None:
    """Make the pane; *account* is the menu above all panes."""
    with gr.Row(elem_classes=["atelier-actions"]):
        task = gr.Dropdown(label="Task", choices=TASKS, value=TASKS[0], elem_id="atelier_jobs_task")
        status = gr.Dropdown(
            label="Status", choices=STATUSES, value=STATUSES[0], elem_id="atelier_jobs_status"
        )
        refresh = gr.Button("Refresh", elem_id=REFRESH)
        older = gr.Button("Older", elem_id="atelier_jobs_older")
    message = gr.HTML("", elem_id="atelier_jobs_message")
    listed = gr.HTML(words.note("Refresh shows the jobs."), elem_id="atelier_jobs")
    job = gr.Textbox(label="Job", elem_id=CHOSEN, elem_classes=["atelier-hidden"])
    pane = Pane(account, task, status, message, listed, older, gr.State(None), job)
    _wire_list(desk, pane, refresh)
    _build_job(desk, pane)


def _wire_list(desk: Desk, pane: Pane, refresh: Any) -> None:
    thumbnails = Thumbnails()

    def newest(account: str, task: str, status: str) -> list[Any]:
        return [words.answered_of(account, REFRESH), *_listed(desk, thumbnails, account, task, status, None)]

    def older(account: str, *asked: Any) -> list[Any]:
        return [words.answered_of(account, REFRESH), *_listed(desk, thumbnails, account, *asked)]

    listen(refresh.click, telling(newest, 3), pane.asked, pane.shown)
    for each in pane.asked:
        listen(each.change, telling(newest, 3), pane.asked, pane.shown)
    listen(pane.older.click, telling(older, 3), [*pane.asked, pane.next], pane.shown, progress="minimal")


def _listed(
    desk: Desk, thumbnails: Thumbnails, account: str, task: str, status: str, start: str | None
) -> list[Any]:
    jobs = desk.jobs(account)
    page = jobs.page(task, status="" if status == STATUSES[0] else status, limit=LIMIT, start=start)
    return [html(cards(jobs, page.jobs, thumbnails)), page.next]


def _build_job(desk: Desk, pane: Pane) -> None:
    show = gr.Button("Show", elem_id="atelier_job_show", elem_classes=["atelier-hidden"])
    told = gr.HTML(words.note("Choose a job to see it."), elem_id="atelier_job_message")
    with gr.Row(elem_classes=["atelier-actions"]):
        buttons = {
            verb: gr.Button(verb.capitalize(), elem_id=f"atelier_job_{verb}")
            for verb in ("save", "cancel", "retry", "delete")
        }
    with gr.Row():
        images = gallery(label="Images", columns=4, elem_id="atelier_job_gallery")
        with gr.Column():
            infotext = gr.Textbox(label="Parameters", lines=6, elem_id="atelier_job_infotext")
            with gr.Row():
                senders = {
                    tab: gr.Button(f"Send to {tab}", elem_id=f"atelier_job_send_{tab}")
                    for tab in ("txt2img", "img2img")
                }
    paste_buttons(senders, infotext, images)
    given = [pane.account, pane.job]

    def showing(account: str, job: str) -> list[Any]:
        told, *rest = _show(desk, account, job)
        return [told + words.shown(CHOSEN, job), *rest]

    listen(show.click, telling(showing, 3), given, [told, images, infotext])
    listen(buttons["save"].click, telling(lambda *g: _save(desk, *g), 1), given, [told], progress="minimal")
    again = pressing(REFRESH)
    for verb, act in (("cancel", _cancel), ("retry", _retry)):
        listen(buttons[verb].click, telling(_with(desk, act), 1), given, [told], then=again)
    listen(
        buttons["delete"].click,
        telling(lambda *g: _delete(desk, *g), 1),
        [*given, gr.Textbox(visible=False)],
        [told],
        js=confirming("Delete the job {} and its images in the cloud?", 3),
        then=again,
    )


def _with(desk: Desk, act: Any) -> Any:
    return lambda account, job: act(desk, account, job)


NO_JOB = "Choose a job first."


def _show(desk: Desk, account: str, job: str) -> list[Any]:
    from atelier_webui import generation, results

    if not job:
        return [words.note(NO_JOB), gr.update(), gr.update()]
    jobs = desk.jobs(account)
    detail = jobs.client.inference(job)
    told = f"Job {job}: {detail.status}, made {words.when(detail.createTime)}."
    if detail.status == "failed":
        return [words.problem(Problem(f"{told} {generation.reason(detail)}")), [], jobs.infotext(job)]
    if detail.status != "succeeded":
        return [words.note(told), [], jobs.infotext(job)]
    pictures = results.fetch(detail, jobs.client).pictures
    for each in pictures:
        each.image.info["parameters"] = each.infotext
    return [words.note(told), [each.image for each in pictures], pictures[0].infotext if pictures else ""]


def _save(desk: Desk, account: str, job: str) -> list[Any]:
    from atelier_webui import results

    if not job:
        return [words.note(NO_JOB)]
    client = desk.client(account)
    detail = client.inference(job)
    pictures = results.fetch(detail, client).pictures
    saved = [host.keep(each, detail.taskType) for each in pictures]
    return [words.note(f"Saved: {', '.join(saved)}" if saved else "This job has no image.")]


def _cancel(desk: Desk, account: str, job: str) -> list[Any]:
    if not job:
        return [words.note(NO_JOB)]
    desk.jobs(account).cancel(job)
    return [words.note(f"Job {job} is cancelled, if it was not over already.")]


def _retry(desk: Desk, account: str, job: str) -> list[Any]:
    if not job:
        return [words.note(NO_JOB)]
    return [words.note(f"Asked again, as job {desk.jobs(account).retry(job)}.")]


def _delete(desk: Desk, account: str, job: str, sure: str) -> list[Any]:
    if sure != CONFIRMED or not job:
        return [words.note("Nothing was deleted.")]
    desk.jobs(account).delete(job)
    return [words.note(f"Job {job} and its images are deleted.")]
