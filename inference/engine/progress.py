"""A picture's way as its author sees it: how it begins, what is told of it, how it ends."""

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch

from inference.engine import events
from inference.engine.jobs import Job, Jobs
from inference.pipelines.checkpoints import bind, pack, unpack
from inference.pipelines.drawing import begin
from inference.pipelines.images import require_file
from inference.pipelines.preview import predict_original, render_preview
from inference.pipelines.steps import NotFinite

CALLS_BETWEEN_CHECKS = 8


def begin_picture(job: Job) -> None:
    """Let a job's picture begin, or go on from a checkpoint, as far as its first call.

    Raises InvalidRequest, and whatever a pipeline raises.
    """
    assert job.entry is not None
    model, request, moment = job.entry.model, job.request, None
    if request.resume is not None:
        blob = require_file(job.files, request.resume, "resume")
        moment = unpack(blob, binding(job), model.device)
    job.picture = begin(model, request, job.files, resume=moment)
    job.picture.advance()


def require_finite(job: Job) -> None:
    """Raises NotFinite; looks at the latents every few steps and after the last one, because on an
    accelerator every look waits for it."""
    steps = job.drawing.steps
    is_last = steps.done >= steps.total
    is_due = steps.calls >= job.calls_checked + CALLS_BETWEEN_CHECKS
    if steps.sample is None or steps.calls == job.calls_checked or not (is_last or is_due):
        return
    job.calls_checked = steps.calls
    if not bool(torch.isfinite(steps.sample).all()):
        raise NotFinite(f"after step {steps.done} its latents are not finite numbers any more")


def tell_steps(jobs: Jobs, job: Job) -> None:
    """Progress, preview and checkpoint for a step that is new."""
    steps = job.drawing.steps
    if steps.done <= max(job.step_sent, steps.done_before):
        return
    job.step_sent = steps.done
    is_due = _is_due(job.request.progress_every, steps.done, steps.total)
    latents = predict_original(steps) if is_due else None
    colours = job.entry.model.colours if job.entry is not None else None
    preview = None
    if latents is not None and colours is not None:
        preview = render_preview(latents, colours)
    job.sender.send(events.progress(steps.done, steps.total), preview)
    if _is_due(job.request.checkpoint_every, steps.done, steps.total):
        tell_checkpoint(jobs, job)


def tell_checkpoint(jobs: Jobs, job: Job) -> None:
    """The state of a picture, if it has done a step."""
    moment = job.picture.steps.moment() if job.picture is not None else None
    if moment is None:
        return
    steps = job.drawing.steps
    blob = pack(moment, binding(job))
    jobs.metrics.checkpoints.inc()
    job.sender.send(events.checkpoint(steps.done, steps.total), checkpoint=blob)


def binding(job: Job) -> str:
    """What a checkpoint of this job is bound to."""
    assert job.entry is not None
    job.binding = job.binding or bind(job.request, job.files, job.entry.made_by)
    return job.binding


def finish(jobs: Jobs, job: Job) -> None:
    """End a job with its picture."""
    now, picture = time.monotonic(), job.drawing
    steps_ended = job.steps_ended or now
    seconds = {
        "load": job.load_seconds,
        "queue": job.started - job.arrived - job.load_seconds,
        "steps": steps_ended - job.started,
        "decode": now - steps_ended,
    }
    jobs.metrics.decode_seconds.observe(seconds["decode"])
    facts: Mapping[str, Any] = picture.notes
    if job.entry is not None:
        facts = {**facts, "made_by": job.entry.made_by}
    event = events.done(picture.steps.total, seconds, facts)
    jobs.end(job, "done")
    jobs.later(partial(job.sender.finish, event, picture.result))


def _is_due(every: int, step: int, steps: int) -> bool:
    return every > 0 and step % every == 0 and step < steps
