"""The order of events in a training run."""

from __future__ import annotations

import time
from dataclasses import replace

from core.results import PreviewResult
from core.training_requests import PreviewRequest, TrainingRequest
from models.heads.judge import Judged
from worker.children.messages import send_message
from worker.decoding.pool import DecodePool
from worker.training.fit.checkpoints import restore_checkpoint
from worker.training.fit.closed_form import Frozen, fit_closed_form
from worker.training.fit.loop import fit_encoder
from worker.training.fit.updates import State
from worker.training.judging.baseline import Baseline, keep_val_trunk, measure_baseline
from worker.training.judging.gallery import Galleries, open_galleries
from worker.training.preview.features import features_of
from worker.training.preview.measure import measure_preview
from worker.training.process.follower import Follower, val_point
from worker.training.result.version import Trained, write_version
from worker.training.run.feeds import Feed
from worker.training.run.parts import TrainingRun, open_feed, open_run
from worker.training.run.stop import Stop, Stopped
from worker.training.run.world import World
from worker.training.spec import RunSpec

PREVIEW = "preview"  # in a checkpoint, beside the baseline


def run_training(spec: RunSpec, request: TrainingRequest, world: World, pool: DecodePool, stop: Stop) -> None:
    """Train, evaluate and write a version. Raises: VireoError, Stopped."""
    run = open_run(spec, request, world, pool, stop)
    galleries = open_galleries(run)
    trained = train_model(run, galleries)
    if trained is None:  # there are enough clips to train the image tower itself
        run = open_run(spec, request.model_copy(update={"solver": "gradient"}), world, pool, stop)
        trained = train_model(run, galleries := open_galleries(run))
        assert trained is not None
    write_version(trained.run, galleries, trained)


def run_preview(spec: RunSpec, request: PreviewRequest, world: World, pool: DecodePool, stop: Stop) -> None:
    """Only the first phase of a run. Raises: VireoError, Stopped."""
    run = open_run(spec, request.as_training(), world, pool, stop)
    began = time.monotonic()
    feed = open_feed(run)
    preview, _ = measure_preview(run, features_of(run, feed, time.monotonic() - began))
    send_message("result", **preview.model_dump(mode="json"))


def train_model(run: TrainingRun, galleries: Galleries) -> Trained | None:
    """Measure the base model, preview the run, then train to the last step. None if the closed form was only the
    default, and the preview finds enough clips for the image tower. Raises: VireoError, Stopped."""
    state, baseline, preview = _start(run, galleries)
    keep_val_trunk(run, galleries)
    began = time.monotonic()
    feed = open_feed(run)
    frozen = judged = None
    if preview is None and (run.world.leads or run.config.solver == "closed_form"):
        frozen = features_of(run, feed, time.monotonic() - began)
        preview, judged = measure_preview(run, frozen)
    if run.config.solver == "closed_form":
        assert frozen is not None
        assert preview is not None
        if preview.tower and run.request.solver is None and run.config.recipe.tune == "tower":
            return None
        return _fit_closed_form(run, galleries, baseline, feed, frozen, preview, judged)
    run.put_text_away()
    kept = baseline.to_dict() | ({} if preview is None else {PREVIEW: preview.model_dump_json()})
    follower = Follower(run, galleries.val, state, kept)
    if run.world.leads and state.step == 0:
        follower.save()
    _fit(run, feed, state, follower)
    if state.micro is not None:  # the card says what fitted
        run = replace(run, config=replace(run.config, micro=state.micro))
    return Trained(run, state, baseline, feed, preview)


def _fit_closed_form(
    run: TrainingRun,
    galleries: Galleries,
    baseline: Baseline,
    feed: Feed,
    frozen: Frozen,
    preview: PreviewResult,
    judged: Judged | None,
) -> Trained:
    run.world.report_phase("training", epoch=0.0, epochs=1.0, step=0, steps=1)
    fitted = fit_closed_form(run, frozen, run.division.classes, judged)
    run = replace(run, model=fitted.model, classifier=fitted.classifier, text_encoder=fitted.encoder)
    state = State(step=1)
    if len(galleries.val) and (point := val_point(run, galleries.val, 1.0)):
        state.checks.append(point)
        if run.world.leads:
            send_message("metric", split="val", solver="closed_form", **point)
    run.world.report_phase("training", epoch=1.0, epochs=1.0, step=1, steps=1)
    return Trained(run, state, baseline, feed, preview, frozen, fitted.record)


def _start(run: TrainingRun, galleries: Galleries) -> tuple[State, Baseline, PreviewResult | None]:
    """From the checkpoint if there is one, else from the beginning."""
    if run.spec.checkpoint is not None and run.config.solver == "gradient":
        state, measured = restore_checkpoint(run.spec.checkpoint, run.model, run.classifier, run.base.digest)
        if run.world.leads:
            send_message("log", message=f"continues from step {state.step}")
        seen = measured.get(PREVIEW)
        preview = None if seen is None else PreviewResult.model_validate_json(seen)
        return state, Baseline.from_dict(measured), preview
    return State(), measure_baseline(run, galleries), None


def _fit(run: TrainingRun, feed: Feed, state: State, follower: Follower) -> None:
    objective, order = run.config.objective, run.order_of(feed)
    try:
        fit_encoder(
            run.config,
            run.model,
            run.classifier,
            objective,
            feed,
            order,
            state,
            run.device,
            run.stop,
            follower.after_step,
        )
    except BaseException:
        if not run.stop.requested:
            raise
        if run.world.leads:  # `state` is the last complete step
            follower.save()
        raise Stopped from None
