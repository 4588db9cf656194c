"""One training run: model ▸ clips ▸ W ▸ how the model does ▸ the loop ▸ how it does now ▸ a version to publish."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from core.datasets import Item
from core.errors import InvalidTraining
from core.training_requests import TrainingRequest
from models.classifier.inputs import TextInputs
from models.classifier.lda import VIDEOS_PER_CLASS
from models.classifier.rows import Classifier, build_classifier
from models.fitting import shots
from models.fitting.recipes import RECIPES
from models.frames.sampling import Views
from models.image.precision import DTYPES, autocasting
from models.recognition.video_model import VideoModel
from models.text.encoder import TextEncoder
from worker.children.messages import send_message
from worker.decoding.dataset_clips import ClipReader
from worker.decoding.pool import DecodePool
from worker.training.judging.gallery import Gallery
from worker.training.judging.measures import Scored
from worker.training.process.follower import Follower
from worker.training.result.version import conclude
from worker.training.run import checkpoints
from worker.training.run.base_model import open_model, open_texts
from worker.training.run.config import resolve
from worker.training.run.division import divide, samples
from worker.training.run.feeds import KEPT_BYTES, Feed, FrameFeed, keep_trunk
from worker.training.run.loop import State, train
from worker.training.run.order import Order
from worker.training.run.stop import Stop, Stopped
from worker.training.run.world import World
from worker.training.spec import Spec

SINGLE = Views()


def run(spec: Spec, request: TrainingRequest, world: World, pool: DecodePool, stop: Stop) -> None:
    """Raises: VireoError, Stopped."""
    session = Session(spec, request, world, pool, stop)
    session.fit()
    if world.leads:
        conclude(session)


class Session:
    def __init__(self, spec: Spec, request: TrainingRequest, world: World, pool: DecodePool, stop: Stop) -> None:
        """Raises: VireoError."""
        if request.seed is None:
            request = request.model_copy(update={"seed": RECIPES[request.recipe].seed})
        self.seed = request.seed or 0
        self.spec, self.request, self.world, self.stop = spec, request, world, stop
        self.device = world.device
        self.tell("preparing")
        torch.manual_seed(self.seed)
        self.base = open_model(spec)
        self.division = divide(request, spec.dataset, self.seed)
        classes, used = self.division.classes, len(self.division.train)
        self.config = resolve(request, self.base, classes, self.division.available, used, self.device)
        self.profile = replace(
            self.base.profile, name=request.name, frames=self.config.frames, templates=self.config.inputs.served
        )
        ahead = max(8, 2 * self.config.micro)
        self.reader = ClipReader(pool, self.profile, self.config.frames, ahead=ahead)
        self.train_reader = ClipReader(
            pool,
            self.profile,
            self.config.frames,
            augment=self.config.augment,
            cache=spec.frames if self.config.cache_frames else None,
            ahead=ahead,
        )
        self.texts = open_texts(spec, request.classifier, self.base, self.seed)
        self.texts.module.to(self.device)
        self.judged = self.gallery(self.division.judged, self.division.classes)
        same = self.division.val == self.division.judged
        self.val = self.judged if same else self.gallery(self.division.val, self.division.classes)
        self.unseen = self.gallery(self.division.unseen, self.division.novel)
        self.classifier = self.fill(self.division.classes)
        self._warn()
        self.model = self.fresh_model()
        self.order = Order(
            clips=len(self.division.train),
            repeats=self.config.repeats,
            batch=self.config.batch,
            micro=self.config.micro,
            seed=self.seed,
            rank=world.rank,
            world=world.size,
        )
        self.state, self.kept = self._resume()
        self.feed: Feed | None = None

    # what a run is made of

    def gallery(self, items: tuple[Item, ...], classes: tuple[str, ...]) -> Gallery:
        looked_at = samples(items, classes, self.spec.clips)
        return Gallery(self.reader, items, looked_at, self.profile, self.device, self.stop)

    def autocast(self) -> AbstractContextManager[Any]:
        return autocasting(self.device, DTYPES[self.config.precision])

    def vectors(self, gallery: Gallery, model: VideoModel, views: Views = SINGLE) -> tuple[list[int], Tensor]:
        return gallery.vectors(model, views, max(1, self.config.micro), self.autocast)

    def score(self, gallery: Gallery, model: VideoModel, rows: Tensor, scale: float, views: Views = SINGLE) -> Scored:
        """rows: unit [C, d]; scale: exp(s). Raises: Stopped."""
        places, vectors = self.vectors(gallery, model, views)  # [n, V, d]
        return gallery.scored(places, vectors, rows, scale, self.profile.aggregate)

    def base_model(self) -> VideoModel:
        """The model as it was before, as it is served."""
        return self.base.video_model(self.base.temporal_kind).to(self.device).eval().requires_grad_(False)

    def base_rows(self, labels: tuple[str, ...]) -> Tensor | None:
        """W of the base model, as it is served; None where its labels are closed and others."""
        if self.base.fixed_rows is not None:
            known = self.base.classes
            inside = all(label in known for label in labels)
            return self.base.fixed_rows[[known.index(label) for label in labels]] if inside else None
        return self.text_rows(self.base.text_encoder, labels, self.base.profile.templates)

    def text_rows(self, texts: TextEncoder, labels: tuple[str, ...], templates: tuple[str, ...]) -> Tensor:
        """Unit rows [C, d] as they would be served for these labels."""
        inputs = TextInputs("templates", templates, self.request.normalize_labels)
        return build_classifier("text", labels=labels, encoder=texts, inputs=inputs, dim=self.base.dim, seed=0).rows()

    @property
    def scale(self) -> float:
        """exp(s), as trained."""
        return float(self.model.logit_scale.detach().exp())

    def tell(self, phase: str, **how_far: Any) -> None:
        if self.world.leads:
            send_message("progress", phase=phase, **how_far)

    def fill(self, classes: tuple[str, ...]) -> Classifier:
        """W of these classes, filled as was asked. Raises: VireoError."""
        features = None
        if self.config.classifier == "lda":
            self.tell("features")
            features = self._features()
        try:
            classifier = build_classifier(
                self.config.classifier,
                labels=classes,
                encoder=self.texts,
                inputs=self.config.inputs,
                dim=self.base.dim,
                seed=self.seed,
                features=features,
            )
        except ValueError as error:
            raise InvalidTraining(f"{error}.", field="classifier") from error
        return classifier.to(self.device)

    def _warn(self) -> None:
        """Of classes that W cannot tell apart by their ends."""
        cut = [name for name, flag in zip(self.division.classes, self.classifier.truncated, strict=False) if flag]
        if cut and self.world.leads:
            send_message("log", message=f"longer than the text tower reads, only their beginning counts: {', '.join(cut[:5])}")

    def _features(self) -> tuple[Tensor, Tensor]:
        """Temporal means of the frozen tower, for LDA: at most 60 videos of each class (paper §4.3)."""
        items = self.division.train
        clips = [(item.sha256, item.label) for item in items]
        chosen = shots.draw_shots(clips, VIDEOS_PER_CLASS, self.seed, up_to=True).ids
        gallery = self.gallery(tuple(item for item in items if item.sha256 in chosen), self.division.classes)
        kind = self.base.temporal_kind if self.base.tower.mixes_time else "mean"
        model = self.base.video_model(kind).to(self.device).eval().requires_grad_(False)
        places, vectors = self.vectors(gallery, model)  # [n, 1, d]
        return vectors.flatten(0, 1), gallery.labels(places)  # [n, d]

    def fresh_model(self) -> VideoModel:
        """As it is before the first step. Raises: InvalidTraining."""
        torch.manual_seed(self.seed)
        try:
            model = self.base.video_model(self.config.temporal, self.config.temporal_init)
        except ValueError as error:
            raise InvalidTraining(f"{error}.", field="temporal") from error
        if self.config.tune == "projection":
            model.tower.requires_grad_(False)
            for _, parameter in model.tower.projection_parameters():
                parameter.requires_grad_(True)
            for _, parameter in model.new_parameters():
                parameter.requires_grad_(True)
        model.tower.set_grad_checkpointing(self.config.gradient_checkpointing)
        model.to(memory_format=torch.channels_last)
        return model.to(self.device)

    def _resume(self) -> tuple[State, dict[str, Any]]:
        if self.spec.checkpoint is None:
            return State(), {}
        state, kept = checkpoints.restore(self.spec.checkpoint, self.model, self.classifier)
        send_message("log", message=f"goes on from step {state.step}")
        return state, kept

    # training

    def fit(self) -> None:
        """Raises: VireoError, Stopped."""
        if self.world.leads and not self.kept:
            self.kept = before(self)
        feed = self.feed = self._feed()
        if feed.from_trunk:  # there is nothing large in memory, and nothing long to wait for
            self.order = replace(self.order, micro=self.config.batch)
        follower = Follower(self)
        if self.world.leads and self.state.step == 0:
            follower.secure()
        try:
            train(
                self.config,
                self.model,
                self.classifier,
                feed,
                self.order,
                self.state,
                self.device,
                self.stop,
                follower.step if self.world.leads else lambda *_: None,
            )
        except BaseException:
            if self.world.leads and self.stop.asked:  # the last complete step is all that counts
                follower.secure()
            if self.stop.asked:
                raise Stopped from None
            raise

    def _feed(self) -> Feed:
        looked_at = samples(self.division.train, self.division.classes, self.spec.clips)
        still = self.config.augment is None and self.config.tune == "projection" and not self.model.tower.mixes_time
        if still and self._fits(len(looked_at)):
            self.tell("features")
            return keep_trunk(self.model, self.reader, looked_at, self.profile, self.device, self.config.micro)
        return FrameFeed(self.train_reader, looked_at, self.profile, self.device)

    @torch.no_grad()
    def _fits(self, clips: int) -> bool:
        """Whether the trunk's answers for all clips can be kept."""
        size = self.profile.size
        one = self.model.trunk(torch.zeros(1, self.config.frames, 3, size, size, device=self.device))
        return one.nbytes * clips <= KEPT_BYTES


def before(session: Session) -> dict[str, Any]:
    """How the base model does on the clips that the report will be about."""
    division, base = session.division, session.base
    session.tell("evaluating")
    model = session.base_model()
    kept: dict[str, Any] = {"measured": True}
    rows = session.base_rows(division.classes)
    if rows is not None and division.judged:
        kept["judged"] = checkpoints.pack(session.score(session.judged, model, rows, base.logit_scale))
    rows = session.base_rows(division.novel) if len(division.novel) > 1 else None
    if rows is not None:
        kept["unseen"] = checkpoints.pack(session.score(session.unseen, model, rows, base.logit_scale))
    return kept
