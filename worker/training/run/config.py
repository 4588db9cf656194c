"""Every number of a run, resolved once from the request, the recipe, the base model and the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from core.errors import InvalidTraining
from core.training_requests import TrainingRequest
from core.vocabulary import HEAD_INITS, Contrast, Fusion, Solver, TemporalInit, TemporalKind, TunedPart
from models.classifier.inputs import TextInputs, choose_text_inputs
from models.fitting.methods import METHODS, Method
from models.fitting.mixing import Mixing
from models.fitting.objectives import Objective
from models.fitting.recipes import Recipe, effective_batch
from models.fitting.shots import shot_repeats
from models.frames.augmentation import Augment
from models.image.precision import has_native_bf16
from models.image.time_blocks import can_be_prompted
from models.profiles import zoo
from models.profiles.prompts import normalise_label
from models.recognition.base import Base
from models.text.anchored_encoder import AnchoredTextEncoder
from models.text.context_encoder import without_context
from models.text.inner import learned_vectors

# Fields of a recipe that the card records as resolved, not as the recipe has them.
RESOLVED = (
    *("name", "batch", "seed", "tune", "frames", "augment", "mixing", "precision", "views"),
    *("text_inputs", "templates", "ensemble", "temporal", "temporal_init"),
)
# Fields of a request that say how the training loop runs.
LOOP_FIELDS = ("epochs", "learning_rate", "batch_size", "tune", "augment", "temporal", "temporal_init")
FEWEST_POSITIONS = 6  # of a text tower that a class name needs, with start, end and full stop
MICRO_CPU = 2  # clips in one forward pass; a stop request is checked between two passes
MICRO_GPU = 32  # if the GPU's memory does not hold that, the error says what to lower


@dataclass(frozen=True, slots=True)
class Config:
    method: Method
    recipe: Recipe
    classifier: str
    inputs: TextInputs
    temporal: TemporalKind
    temporal_init: TemporalInit
    solver: Solver
    tune: TunedPart | None  # None: the image tower is frozen
    frames: int  # T
    lr: float  # of new modules, at its peak
    batch: int  # global
    micro: int  # clips in one forward pass of one process
    repeats: int  # of every clip in an epoch; above 1 only for few-shot runs
    seed: int
    augment: Augment | None
    fusion: Fusion
    contrast: Contrast | None
    views: str  # of a second evaluation; "1x1" for none
    precision: str  # fp32, or the format that autocast computes in
    gradient_checkpointing: bool
    cache_frames: bool

    @property
    def objective(self) -> Objective:
        return self.method.objective(self.fusion, self.recipe.smoothing, self.contrast)

    @property
    def mixing(self) -> Mixing | None:
        return None if self.augment is None else self.recipe.mixing

    @property
    def trunk_frozen(self) -> bool:
        """Whether no parameter moves that what the image tower's trunk gives depends on."""
        return self.tune != "tower" and not self.method.prompted

    @property
    def epochs(self) -> float:
        return self.recipe.epochs

    def to_dict(self) -> dict[str, Any]:
        """The card's `hyperparameters`."""
        if self.solver == "closed_form":  # the rest of the recipe is about the loop
            return {"solver": self.solver, "frames": self.frames, "precision": self.precision, "tune": self.tune}
        recipe = self.recipe.to_dict()
        for name in RESOLVED:
            recipe.pop(name)
        return recipe | {
            "solver": self.solver,
            "lr": self.lr,
            "global_batch": self.batch,
            "micro_batch": self.micro,
            "repeats": self.repeats,
            "tune": self.tune,
            "frames": self.frames,
            "fusion": self.fusion,
            "contrast": self.contrast,
            "mixing": None if self.mixing is None else asdict(self.mixing),
            "precision": self.precision,
            "augment": None if self.augment is None else _augment_record(self.augment),
            "gradient_checkpointing": self.gradient_checkpointing,
            "cache_frames": self.cache_frames,
        }


def resolve_config(
    request: TrainingRequest, base: Base, classes: Sequence[str], clips: int, drawn: int, device: torch.device
) -> Config:
    """clips: number of clips in the train split; drawn: number of clips that are trained on, which is smaller for
    few-shot runs. Raises: InvalidTraining."""
    method = METHODS[request.method]
    if request.online_text is False:
        method = method.offline()
    check_base(base, method)
    recipe = method.recipe(request.recipe).for_base(base.architecture).for_data(clips)
    if request.shots is not None:
        recipe = recipe.few_shot(clips)
    if request.epochs is not None:
        recipe = recipe.with_epochs(request.epochs)
    if method.prompted:
        recipe = _with_prompts(recipe, request, base)
    times = shot_repeats(clips, drawn) if request.shots is not None and recipe.repeat_shots else 1
    batch = effective_batch(recipe, drawn * times, request.batch_size)
    temporal = "mean" if method.mean else request.temporal or _head(base, recipe)
    solver = _solver(request, method, recipe, temporal, drawn)
    tune = (request.tune or recipe.tune) if method.trains_images else None
    if solver == "closed_form":
        tune = "projection"  # the trunk is frozen
    augmented = (
        request.augment if request.augment is not None else tune == "tower" or method.prompted or recipe.augment_frozen
    )
    micro = request.micro_batch or (MICRO_CPU if device.type == "cpu" else MICRO_GPU)
    return Config(
        method=method,
        recipe=recipe,
        classifier=method.classifier or request.classifier,
        inputs=_inputs(request, method, recipe, base),
        temporal=temporal,
        temporal_init=_init(request, recipe, temporal),
        solver=solver,
        tune=tune,
        frames=request.frames or recipe.frames or base.profile.frames,
        lr=request.learning_rate or recipe.lr,
        batch=batch,
        micro=min(micro, batch),
        repeats=times,
        seed=request.seed or 0,
        augment=_augment(recipe, classes) if augmented else None,
        fusion=request.fusion or (base.profile.fusion if method.prompted else "embedding"),
        contrast=(request.contrast or "kl") if method.contrastive else None,
        views=recipe.views if request.views == "1x1" else request.views,
        precision=_precision(request.precision, recipe, device),
        gradient_checkpointing=request.gradient_checkpointing,
        cache_frames=request.cache_frames,
    )


def check_base(base: Base, method: Method) -> None:
    """Raises: InvalidTraining if the base cannot carry the method."""
    if base.tower.prompts is not None and not method.prompted:
        raise InvalidTraining(
            f"{base.name} has learned prompts, so only the method vl_prompt can go on with it.",
            hint="Use vl_prompt, or start from the model that its prompts were learned for: its card names it.",
            field="base",
        )
    texts = without_context(base.text_encoder)
    if method.prompted and not (base.tower.prompt_places and texts.context_width and base.prompt_layers):
        able = [name for name, entry in zoo.ENTRIES.items() if can_be_prompted(entry)]
        raise InvalidTraining(
            f"{base.name} cannot carry the method {method.name}: it needs a vision transformer and CLIP's text tower.",
            hint=f"These models can, and versions that were trained from them: {', '.join(able)}.",
            field="method",
        )


def _inputs(request: TrainingRequest, method: Method, recipe: Recipe, base: Base) -> TextInputs:
    """Raises: InvalidTraining."""
    mode = request.text_inputs or recipe.text_inputs
    anchored = request.classifier == "text" and isinstance(base.text_encoder, AnchoredTextEncoder)
    if mode == "context" and anchored:  # a file has no place for a context that is read before anchors
        raise InvalidTraining(
            f"{base.name} was fitted in closed form, so its text half cannot learn a context.",
            hint="Use other text_inputs, or the method vl_prompt.",
            field="text_inputs",
        )
    try:
        return choose_text_inputs(
            "context" if method.prompted else mode,
            requested=request.templates,
            usual=recipe.templates or base.profile.templates,
            ensemble=recipe.ensemble or base.profile.templates,
            normalise=request.normalize_labels,
        )
    except ValueError as error:
        raise InvalidTraining(f"{error}.", field="templates") from error


def _with_prompts(recipe: Recipe, request: TrainingRequest, base: Base) -> Recipe:
    """With the number and the depth of prompts that the request asks for; those of a base that has prompts are learned
    further. Raises: InvalidTraining if they differ from the base's, or leave the text tower no room for class names."""
    own_tokens, own_depth = _own_prompts(base)
    tokens = request.prompt_tokens or own_tokens or recipe.prompt_tokens
    depth = request.prompt_depth or own_depth or recipe.prompt_depth
    for field, own, asked in (("prompt_tokens", own_tokens, tokens), ("prompt_depth", own_depth, depth)):
        if own not in (None, asked):
            raise InvalidTraining(
                f"{field} is {asked}, but {base.name} has learned vectors for {field} {own}, and goes on with them.",
                hint=f"Leave {field} out, or start from a model without learned vectors.",
                field=field,
            )
    positions = base.text_positions
    if positions is not None and tokens > positions - FEWEST_POSITIONS:
        raise InvalidTraining(
            f"{tokens} prompt tokens leave no room for class names: the text tower of {base.name} reads {positions}.",
            hint=f"Use at most {positions - FEWEST_POSITIONS}.",
            field="prompt_tokens",
        )
    return replace(recipe, prompt_tokens=tokens, prompt_depth=depth)


def _own_prompts(base: Base) -> tuple[int | None, int | None]:
    """Number and depth of the vectors that the base has learned; None for what is still free. A learned context has a
    number only. Raises: InvalidTraining if its two towers do not fit one another."""
    image, text = base.tower.prompts, learned_vectors(base.text_encoder)
    if image is None:
        return None if text is None else text.shape[1], None
    places, layers = base.tower.prompt_places, base.prompt_layers
    assert places is not None  # the tower has prompts
    assert layers is not None  # `check_base`
    depth = len(image) if text is None else max(len(image), len(text))
    fitting = {(min(depth, places[0]), image.shape[1]), (min(depth, layers), image.shape[1])}
    found = {tuple(prompts.shape[:2]) for prompts in (image, text) if prompts is not None}
    if not found <= fitting:
        raise InvalidTraining(
            f"{base.name} has {' and '.join(f'{deep} x {count}' for deep, count in sorted(found))} prompts in its two "
            "towers. They are learned further only if both towers have the same number and depth.",
            hint="Start from a model without prompts.",
            field="base",
        )
    return image.shape[1], depth


def _solver(request: TrainingRequest, method: Method, recipe: Recipe, temporal: TemporalKind, clips: int) -> Solver:
    """Raises: InvalidTraining."""
    context = (request.text_inputs or recipe.text_inputs) == "context"
    plain = method.closed_form and request.classifier.startswith("text")
    possible = plain and not context and temporal == "mean"
    if request.solver == "closed_form" and not possible:
        raise InvalidTraining(
            "The closed form is for the method text4vis, for rows that are made of text, and for the mean over time.",
            hint="Leave method, classifier, text_inputs and temporal out, or use solver=gradient.",
            field="solver",
        )
    about_the_loop = any(getattr(request, name) is not None for name in LOOP_FIELDS)
    small = clips <= recipe.closed_form_upto and not about_the_loop
    return request.solver or ("closed_form" if possible and small else "gradient")


def _augment(recipe: Recipe, classes: Sequence[str]) -> Augment:
    """No clip is flipped if a class name says left or right: a flipped clip would show another class."""
    words = {word for label in classes for word in normalise_label(label).lower().split()}
    return replace(recipe.augment, flip=0.0) if words & {"left", "right"} else recipe.augment


def _head(base: Base, recipe: Recipe) -> TemporalKind:
    """A base that has a trained head keeps it; otherwise the recipe decides."""
    return recipe.temporal if base.temporal_kind == "mean" else base.temporal_kind


def _init(request: TrainingRequest, recipe: Recipe, temporal: TemporalKind) -> TemporalInit:
    """A request that names no head may name a start that the chosen head does not have: then the recipe decides."""
    requested = request.temporal_init
    return requested if requested and requested in HEAD_INITS[temporal] else recipe.init_of(temporal)


def _precision(requested: str, recipe: Recipe, device: torch.device) -> str:
    """fp16 needs a GPU. A recipe that names it is computed in fp32 on a CPU."""
    if device.type == "cpu":
        return "bf16" if requested == "bf16" else "fp32"
    if requested != "auto":
        return requested
    if recipe.precision != "auto":
        return recipe.precision
    return "bf16" if has_native_bf16(device) else "fp16"


def _augment_record(augment: Augment) -> dict[str, Any]:
    return asdict(augment)
