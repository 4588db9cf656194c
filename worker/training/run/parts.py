"""The parts of one training run, assembled before its first step.

`TrainingRun` is frozen. What changes while training is the loop's `State`, and the weights of `model` and `classifier`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from core.errors import InvalidTraining
from core.training_requests import TrainingRequest
from models.classifier.lda import VIDEOS_PER_CLASS
from models.classifier.rows import INIT_STD, Classifier, Features, build_classifier
from models.fitting import shots
from models.fitting.methods import METHODS, let_move
from models.fitting.vifi_recipes import FIRST_WORDS, MOST_WORDS
from models.frames.sampling import Views
from models.image.precision import DTYPES
from models.profiles.profile import Profile
from models.recognition.base import Base
from models.recognition.video_encoder import VideoEncoder
from models.recognition.video_model import VideoModel
from models.text.context_encoder import without_context
from models.text.encoder import TextEncoder
from models.text.inner import clip_tower, learned_vectors
from worker.children.messages import send_message
from worker.decoding.dataset_clips import ClipReader, Sample
from worker.decoding.pool import DecodePool
from worker.training.features.files import FeatureFiles
from worker.training.features.trunk import Road, TrunkFiles
from worker.training.run.base_model import open_base_model, open_text_encoder
from worker.training.run.config import Config, resolve_config
from worker.training.run.division import ClipDivision, divide_dataset, samples_of
from worker.training.run.encoding import encode_videos, encoder_of
from worker.training.run.feeds import MAX_TRUNK_BYTES, Feed, FrameFeed, no_clip_decoded, precompute_trunk, trunk_outputs
from worker.training.run.order import Order
from worker.training.run.stop import Stop
from worker.training.run.world import World
from worker.training.spec import RunSpec

SINGLE_VIEW = Views()


@dataclass(frozen=True, slots=True)
class TrainingRun:
    spec: RunSpec
    request: TrainingRequest
    world: World
    stop: Stop
    base: Base  # the model that training starts from
    division: ClipDivision
    config: Config
    profile: Profile  # of the version
    reader: ClipReader  # reads clips as evaluation does
    base_reader: ClipReader  # reads clips as the base model is served
    train_reader: ClipReader  # reads clips as training does: augmented, cached
    text_encoder: TextEncoder  # the one that W is made with
    classifier: Classifier  # W
    model: VideoModel
    order: Order
    trunk_bytes: int | None  # of what a frozen trunk makes of one clip; None if the trunk is trained
    features: FeatureFiles  # what frozen trunks made of clips, in earlier runs as well

    @property
    def device(self) -> torch.device:
        return self.world.device

    @property
    def sees_as_base(self) -> bool:
        """Whether the version reads clips as the base model does."""
        return self.profile.vision_digest() == replace(self.base.profile, frames=self.config.frames).vision_digest()

    @property
    def scale(self) -> float:
        """exp(s), as trained so far."""
        return float(self.model.logit_scale.detach().exp())

    def put_text_away(self) -> None:
        """Free the device of text towers, which the loop needs only if W is made of a learned context. What uses them
        later moves them there again."""
        if not self.classifier.encodes_texts:
            for encoder in (self.base.text_encoder, self.text_encoder):
                encoder.module.to("cpu")

    def encoder(self, model: VideoModel) -> AbstractContextManager[VideoEncoder]:
        """`model` as an encoder, in the precision of this run."""
        return encoder_of(model, self.profile, self.device, DTYPES[self.config.precision])

    def trunk_files(self) -> TrunkFiles | None:
        """Where outputs of the trunk as it is now are kept, for clips as `reader` reads them."""
        road: Road = "training" if self.model.tower.training else "trained"
        reading = self.reader.digest, self.profile.vision_digest()
        return TrunkFiles.of(self.features, self.model.tower, road, self.device, *reading)

    def keeps_trunk(self, clips: int) -> bool:
        """Whether the trunk is frozen and what it makes of that many clips fits in memory."""
        return self.trunk_bytes is not None and self.trunk_bytes * clips <= MAX_TRUNK_BYTES

    def order_of(self, feed: Feed) -> Order:
        """Batches of precomputed trunk outputs are small and quick, so a step needs no micro-batches."""
        return replace(self.order, micro=self.config.batch) if feed.from_trunk else self.order


def open_run(spec: RunSpec, request: TrainingRequest, world: World, pool: DecodePool, stop: Stop) -> TrainingRun:
    """Raises: VireoError, Stopped."""
    if request.seed is None:
        recipe = METHODS[request.method].recipe(request.recipe)
        request = request.model_copy(update={"seed": recipe.seed})
    seed = request.seed or 0
    world.report_phase("preparing")
    torch.manual_seed(seed)
    base = open_base_model(spec)
    division = divide_dataset(request, spec.dataset, seed)
    clips = division.available, len(division.train)
    config = resolve_config(request, base, division.classes, *clips, world.device)
    profile = replace(config.recipe.profile(base.profile), name=request.name, fusion=config.fusion)
    profile = replace(profile, frames=config.frames, templates=config.inputs.served)
    ahead = max(8, 2 * config.micro)
    cache = spec.frames if config.cache_frames else None
    reader = ClipReader(pool, profile, config.frames, ahead=ahead)
    text_encoder = open_text_encoder(spec, config.classifier, base, seed)
    if config.method.prompted:
        text_encoder = without_context(text_encoder)
    features = None
    if config.classifier == "lda":
        world.report_phase("features")
        features = _lda_features(spec, base, division, config, reader, world, stop)
    learned = learned_vectors(base.text_encoder)
    classifier = new_classifier(config, division.classes, text_encoder, base.dim, world.device, features, learned)
    if world.leads:
        _log_truncated(division.classes, classifier)
    model = new_model(base, config, world.device)
    return TrainingRun(
        spec=spec,
        request=request,
        world=world,
        stop=stop,
        base=base,
        division=division,
        config=config,
        profile=profile,
        reader=reader,
        base_reader=ClipReader(pool, replace(base.profile, frames=config.frames), config.frames, ahead=ahead),
        train_reader=ClipReader(pool, profile, config.frames, augment=config.augment, cache=cache, ahead=ahead),
        text_encoder=text_encoder,
        classifier=classifier,
        model=model,
        order=Order(
            clips=len(division.train),
            repeats=config.repeats,
            batch=config.batch,
            micro=config.micro,
            seed=seed,
            rank=world.rank,
            world=world.size,
            drop_last=config.recipe.drop_last,
            mixing=config.mixing,
            side=profile.size,
        ),
        trunk_bytes=_trunk_bytes(model, config, profile, world.device),
        features=spec.feature_files(),
    )


def new_classifier(
    config: Config,
    classes: tuple[str, ...],
    text_encoder: TextEncoder,
    dim: int,
    device: torch.device,
    features: Features | None = None,
    learned: Tensor | None = None,
) -> Classifier:
    """W for these classes, as it is before the first step. The text encoder moves to `device`. features: needed by
    `lda` only; learned: the vectors [D, M, w] of the base, from which a method that learns prompts goes on. Raises:
    InvalidTraining."""
    text_encoder.module.to(device)
    try:
        classifier = build_classifier(
            config.classifier,
            labels=classes,
            encoder=text_encoder,
            inputs=config.inputs,
            dim=dim,
            seed=config.seed,
            features=features,
            train_text=config.method.trains_text,
            prompts=_text_prompts(config, text_encoder),
            first=_first_vectors(config, text_encoder, learned),
        )
    except ValueError as error:
        field = "method" if config.method.trains_text else "classifier"
        raise InvalidTraining(f"{error}.", field=field) from error
    return classifier.to(device)


def _text_prompts(config: Config, encoder: TextEncoder) -> tuple[int, int] | None:
    tower = clip_tower(encoder)
    if not config.method.prompted or tower is None:
        return None
    return min(config.recipe.prompt_depth, tower.layers), config.recipe.prompt_tokens


def _first_vectors(config: Config, encoder: TextEncoder, learned: Tensor | None) -> Tensor | None:
    """What the text vectors before the first blocks start from, [k, M, w]: those of the base; words before the first
    block if they are few (method §12); None for noise."""
    tower, count = clip_tower(encoder), config.recipe.prompt_tokens
    if not config.method.prompted or tower is None:
        return None
    if learned is not None:
        return learned
    return tower.word_vectors(FIRST_WORDS)[None, :count] if count <= MOST_WORDS else None  # [1, M, w]


def new_model(base: Base, config: Config, device: torch.device) -> VideoModel:
    """The model as it is before the first step. Raises: InvalidTraining."""
    torch.manual_seed(config.seed)
    try:
        model = base.video_model(config.temporal, config.temporal_init, config.fusion)
    except ValueError as error:
        raise InvalidTraining(f"{error}.", field="temporal") from error
    if config.method.prompted:
        _add_prompts(model, config)
    let_move(model, config.method, config.tune)
    model.tower.trains_batch_norms = config.recipe.batch_norms and config.tune == "tower"
    model.tower.set_grad_checkpointing(config.gradient_checkpointing)
    model.to(memory_format=torch.channels_last)
    return model.to(device)


def _add_prompts(model: VideoModel, config: Config) -> None:
    """In the image tower; those of the text tower belong to W. A base's own are learned further."""
    if model.tower.prompts is not None:
        return
    assert model.tower.prompt_places is not None  # `check_base`
    blocks, width = model.tower.prompt_places
    shape = min(config.recipe.prompt_depth, blocks), config.recipe.prompt_tokens, width
    generator = torch.Generator().manual_seed(config.seed)
    model.tower.add_prompts(INIT_STD * torch.randn(*shape, generator=generator))


def open_feed(run: TrainingRun) -> Feed:
    """Outputs of the trunk if it is frozen, always sees the same pixels, and they fit in memory; otherwise frames.
    Raises: VireoError."""
    samples = samples_of(run.division.train, run.division.classes, run.spec.clips)
    if run.config.augment is None and run.keeps_trunk(len(samples)):
        run.world.report_phase("features")
        files = run.trunk_files()
        _encode_share(run, samples, files)
        return precompute_trunk(run.model, run.reader, samples, run.profile, run.device, files)
    return FrameFeed(run.train_reader, samples, run.profile, run.device)


@torch.no_grad()
def _encode_share(run: TrainingRun, samples: Sequence[Sample], files: TrunkFiles | None) -> None:
    """Where there are several processes, each encodes some of the clips, and then finds those of the others in the
    files."""
    if run.world.size == 1 or files is None:
        return
    share = samples[run.world.rank :: run.world.size]
    for _ in trunk_outputs(run.model, run.reader, share, run.profile, run.device, files):
        pass
    run.world.gather(None)  # all have written theirs


@torch.no_grad()
def _trunk_bytes(model: VideoModel, config: Config, profile: Profile, device: torch.device) -> int | None:
    if not config.trunk_frozen or model.tower.mixes_time:
        return None
    return model.trunk(torch.zeros(1, config.frames, 3, profile.size, profile.size, device=device)).nbytes


def _lda_features(
    spec: RunSpec,
    base: Base,
    division: ClipDivision,
    config: Config,
    reader: ClipReader,
    world: World,
    stop: Stop,
) -> Features:
    """Temporal means of the frozen tower, for at most 60 videos of each class (paper §4.3)."""
    drawn = shots.draw_shots(
        [(item.sha256, item.label) for item in division.train], VIDEOS_PER_CLASS, config.seed, up_to=True
    )
    items = [item for item in division.train if item.sha256 in drawn.ids]
    samples = samples_of(items, division.classes, spec.clips)
    model = base.video_model(base.temporal_kind if base.tower.mixes_time else "mean").to(world.device)
    with encoder_of(model, base.profile, world.device, DTYPES[config.precision]) as encoder:
        videos = reader.views(samples, SINGLE_VIEW)
        most = spec.settings.batch_frames
        indices, vectors = encode_videos(videos, encoder, SINGLE_VIEW, most, stop)  # [n, 1, d]
    if not indices:
        raise no_clip_decoded(len(samples))
    labels = torch.tensor([samples[index].label for index in indices], dtype=torch.int64)
    return vectors.flatten(0, 1), labels  # [n, d], [n]


def _log_truncated(classes: tuple[str, ...], classifier: Classifier) -> None:
    cut = [name for name, truncated in zip(classes, classifier.truncated, strict=False) if truncated]
    if cut:
        names = ", ".join(cut[:5])
        send_message(
            "log",
            message=f"These class names are longer than the text tower reads; only their beginning counts: {names}",
        )
