"""The order of events in a training run."""

from __future__ import annotations

from dataclasses import dataclass

from core.training_requests import TrainingRequest
from worker.children.messages import send_message
from worker.decoding.pool import DecodePool
from worker.training.fit.checkpoints import restore_checkpoint
from worker.training.fit.loop import fit_encoder
from worker.training.fit.updates import State
from worker.training.judging.baseline import Baseline, keep_val_trunk, measure_baseline
from worker.training.judging.gallery import Galleries, open_galleries
from worker.training.process.follower import Follower
from worker.training.result.version import write_version
from worker.training.run.feeds import Feed
from worker.training.run.parts import TrainingRun, open_feed, open_run
from worker.training.run.stop import Stop, Stopped
from worker.training.run.world import World
from worker.training.spec import RunSpec


@dataclass(frozen=True, slots=True)
class Trained:
    """What training leaves besides the weights."""

    state: State
    baseline: Baseline
    feed: Feed


def run_training(spec: RunSpec, request: TrainingRequest, world: World, pool: DecodePool, stop: Stop) -> None:
    """Train, evaluate and write a version. Raises: VireoError, Stopped."""
    run = open_run(spec, request, world, pool, stop)
    galleries = open_galleries(run)
    trained = train_model(run, galleries)
    write_version(run, galleries, trained.state, trained.baseline, trained.feed)


def train_model(run: TrainingRun, galleries: Galleries) -> Trained:
    """Measure the base model, then train to the last step. Raises: VireoError, Stopped."""
    state, baseline = _start(run, galleries)
    keep_val_trunk(run, galleries)
    feed = open_feed(run)
    run.put_text_away()
    follower = Follower(run, galleries.val, state, baseline)
    if run.world.leads and state.step == 0:
        follower.save()
    _fit(run, feed, state, follower)
    return Trained(state, baseline, feed)


def _start(run: TrainingRun, galleries: Galleries) -> tuple[State, Baseline]:
    """From the checkpoint if there is one, else from the beginning."""
    if run.spec.checkpoint is not None:
        state, measured = restore_checkpoint(run.spec.checkpoint, run.model, run.classifier, run.base.digest)
        if run.world.leads:
            send_message("log", message=f"continues from step {state.step}")
        return state, Baseline.from_dict(measured)
    return State(), measure_baseline(run, galleries)


def _fit(run: TrainingRun, feed: Feed, state: State, follower: Follower) -> None:
    objective, order = run.config.method.objective(), run.order_of(feed)
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
