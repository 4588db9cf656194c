"""Training recipes: every number that shapes a run, with its source beside it. No torch here.

`text4vis` is what made the published numbers: the code as it was when the logs were written (until 2023-01-07), which
agrees with the paper's Table A.3 except for the tower's rate. `text4vis-2023` is the code as released since (method §16
#2 to #4). `default` is ours: it starts from `text4vis`, and a comment justifies every difference.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from core.vocabulary import RecipeName, TemporalInit, TemporalKind, TextInputKind, TunedPart
from models.fitting.mixing import Mixing
from models.frames.augmentation import Augment
from models.profiles.profile import Profile
from models.weights.roles import Role

Preprocessing = Literal["base", "vifi"]

IMAGENET_MEAN = (123.675 / 255, 116.28 / 255, 103.53 / 255)  # VFC build.py 34-35
IMAGENET_STD = (58.395 / 255, 57.12 / 255, 57.375 / 255)

# Training clips from which on a run counts as large. The logs show RandAugment off for ActivityNet's 10 k clips and on
# for Kinetics' 240 k (method §16 #4); this is their geometric mean.
LARGE_DATA = 50_000

_LINKERS = (
    "",
    "person ",
    "person using ",
    "person doing ",
    "person during ",
    "person performing ",
    "person practicing ",
)
_CARRIERS = ("a photo of", "a video of", "an example of", "a demonstration of")
# CLIP's 28 templates for Kinetics, the grid of method §4; the articles are ours
KINETICS_TEMPLATES = tuple(
    f"{carrier} {'a ' if linker else ''}{linker}{{}}." for carrier in _CARRIERS for linker in _LINKERS
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """The defaults are Text4Vis' code of the logs, method §8 [C] and [L]; rates and decay are AdamW's."""

    name: RecipeName
    lr: float = 5e-5  # of new modules
    pretrained_ratio: float = 0.1  # T4V `clip_ratio`: image tower and logit_scale learn at 5e-6
    text_ratio: float | None = None  # of a trained text tower; None: pretrained_ratio
    betas: tuple[float, float] = (0.9, 0.98)  # paper and logs (method §16 #2)
    eps: float = 1e-8
    weight_decay: float = 0.2
    decay_all: bool = True  # also biases, norms and logit_scale
    epochs: float = 30
    warmup_epochs: float = 5  # linear, from 0
    min_lr_ratio: float = 0.0  # at the end of the cosine; the log reaches 1e-12
    whole_cosine: bool = False  # the cosine begins with the run, as timm's does, and not after the warm-up
    lr_every: int = 10  # the rate changes on the first, then on every 10th iteration (train.py 337-339)
    batch: int = 256  # global, the same on any machine; gradients are accumulated (method §16 #9)
    drop_last: bool = False  # whether an epoch leaves out its last batch if that is smaller
    min_updates: int = 1  # per epoch; `effective_batch` reduces the batch to reach it
    grad_clip: float | None = None  # largest norm
    max_scale: float | None = None  # largest exp(s); None: no clamp (method §7)
    precision: Literal["auto", "fp16"] = (
        "fp16"  # autocast and GradScaler over fp32 weights; `auto`: the best of the machine
    )
    seed: int = 1024
    text_inputs: TextInputKind = "template"
    templates: tuple[str, ...] | None = ("a video of a person {}.",)  # paper §B.2; None: those of the base's profile
    ensemble: tuple[str, ...] | None = KINETICS_TEMPLATES  # for text inputs "templates"; None: the base profile's
    frames: int | None = 8  # None: the base profile's
    temporal: TemporalKind = "transformer"
    temporal_init: TemporalInit = "random"  # of T-Trans; `init_of` tells that of the other heads
    temporal_from: int = 0  # training clips; with fewer, the head is the mean
    closed_form_upto: int = 0  # training clips; with more, the training loop fits the video half
    tune: TunedPart = "tower"  # which part of the image tower is trained
    batch_norms: bool = True  # whether those of a trained tower collect statistics (T4V: `model.train()`, plain DDP)
    augment: Augment = field(default_factory=lambda: Augment(randaugment=(2, 9)))  # the logs of K400 (method §16 #4)
    randaugment_from: int = LARGE_DATA  # training clips (method §16 #4)
    augment_frozen: bool = False  # also where the trunk is frozen, so that each clip is encoded in every epoch
    prompt_tokens: int = 0  # learned in each tower, by methods that learn prompts
    prompt_depth: int = 0  # blocks that have tokens of their own, the first included; fewer if a tower has fewer
    mixing: Mixing | None = None  # mixup and cutmix, where clips are augmented
    smoothing: float = 0.0  # of labels
    preprocessing: Preprocessing = "base"  # of the version's profile: the base's, or ViFi-CLIP's (method §3.2)
    views: str = "1x1"  # of a second evaluation, if the request names none
    repeat_shots: bool = True  # whether an epoch of K shots is as long as one over all clips (method §10)
    few_shot_epochs: float = 10  # paper §B.1, over repeated shots (method §10, §16 #5)
    few_shot_epochs_large: float = 2  # paper §B.1, for datasets as large as Kinetics

    def for_base(self, architecture: str) -> Recipe:
        """The recipe for a base of this architecture: `lite`, or open_clip's name. Only `default` depends on it.

        CLIP's towers learn at Text4Vis' rates. `lite` is a pair of ImageNet CNNs and uses rates 20 times as high:
        - Adam changes every weight by about the rate, whatever its size. Half of lite's convolutions have weights above
          0.09 (root mean square), CLIP's matrices 0.01 to 0.02. The same relative step is 5 to 10 times as long.
        - It has more to learn. CLIP's joint space is the result of its training, and long steps destroy it. The joint
          space of lite was computed from ImageNet's 1000 names and was never trained on labelled images.
        - The result, 1e-4 and 1e-3, is in the usual range for fine-tuning ImageNet CNNs with AdamW.
        A text tower that is trained is MiniLM, which learns at 2e-5, the rate at which sentence encoders are usually
        fine-tuned. Longer steps need fewer epochs: 10, which the paper uses for datasets smaller than Kinetics (§B.1).

        By default only the projection of `lite` is trained, because `lite` is meant for machines without a GPU and for
        tens of clips. A frozen trunk runs once per clip, instead of three times its cost per clip and epoch. So few
        clips can fit a few million weights on top of good features, and not more (linear probing before fine-tuning,
        Kumar et al. 2022). There is no augmentation then, because each clip is encoded only once.
        """
        if self.name != "default" or architecture != "lite":
            return self
        return replace(self, lr=1e-3, pretrained_ratio=0.1, text_ratio=0.02, tune="projection").with_epochs(10)

    def rates(self, tune: TunedPart | None) -> dict[Role, float]:
        """For each role its share of `lr`. A projection alone is a linear probe on fixed features, so it learns like a
        new module."""
        slow = self.pretrained_ratio
        text = slow if self.text_ratio is None else self.text_ratio
        image = 1.0 if tune == "projection" else slow
        return {"image_tower": image, "text_tower": text, "scale": slow, "head": 1.0, "prompts": 1.0}

    def profile(self, base: Profile) -> Profile:
        """How the version is trained and served. `vifi`: method §3.2 with ImageNet's statistics (§16 #14); the mean of
        probabilities over views (§9)."""
        if self.preprocessing == "base":
            return base
        return replace(
            base,
            mean=IMAGENET_MEAN,
            std=IMAGENET_STD,
            short_side=int(256 / 224 * base.size),
            interpolation="bilinear",
            resize="short_side",
            three_crop="vfc",
            sampling="segment_center",
            aggregate="probabilities",
        )

    def init_of(self, temporal: TemporalKind) -> TemporalInit:
        """How a new temporal head of this kind starts. TokenT1D starts as TSM's shift in every recipe (method §6); our
        T1D starts as the identity."""
        if temporal == "transformer":
            return self.temporal_init
        return "shift" if temporal == "token_conv" else "identity"

    def for_data(self, clips: int) -> Recipe:
        """The recipe for this number of training clips, counted before any few-shot draw. It leaves out what needs more
        data: RandAugment and the temporal head."""
        small = replace(self.augment, randaugment=None)
        return replace(
            self,
            augment=self.augment if clips >= self.randaugment_from else small,
            temporal=self.temporal if clips >= self.temporal_from else "mean",
        )

    def few_shot(self, clips: int) -> Recipe:
        """The recipe for K clips per class out of `clips`. It has the paper's epochs over repeated shots. Its head is
        the mean, because an untrained T-Trans is not neutral (method §6, §10; the paper's §4.2 and the few-shot YAML
        files agree)."""
        epochs = self.few_shot_epochs_large if clips >= LARGE_DATA else self.few_shot_epochs
        return replace(self.with_epochs(epochs), temporal="mean")

    def with_epochs(self, epochs: float) -> Recipe:
        """The recipe with another length. A shorter run keeps the warm-up's share, a longer one the warm-up's
        epochs."""
        warmup = min(self.warmup_epochs, self.warmup_epochs * epochs / self.epochs)
        return replace(self, epochs=epochs, warmup_epochs=warmup)

    def to_dict(self) -> dict[str, Any]:
        """For the card: every field."""
        return asdict(self)


def effective_batch(recipe: Recipe, clips: int, batch: int | None = None) -> int:
    """The global batch for an epoch of this many clips. A requested batch is used unchanged."""
    return batch or max(1, min(recipe.batch, clips // recipe.min_updates))


RECIPES: dict[RecipeName, Recipe] = {
    "text4vis": Recipe(name="text4vis"),
    "text4vis-2023": Recipe(
        name="text4vis-2023",
        betas=(0.9, 0.999),  # commit d9a6b53 of 2023-01-07 changed both (method §16 #2, #4)
        augment=Augment(),
        few_shot_epochs=30,  # the released YAML files (method §16 #5)
        few_shot_epochs_large=30,
    ),
    "default": Recipe(
        name="default",
        # Biases, the gains of norms and the scale are not weights of a sum. Decay would pull them towards a wrong model
        # instead of a simpler one (method §8 [D]).
        decay_all=False,
        # An epoch of a small dataset has ten updates or fewer, so a change on every tenth would be too coarse.
        lr_every=1,
        # With a batch of 256, 100 clips make one update per epoch and 30 in total. The frozen W needs no large batch,
        # because there is no contrast within a batch (paper Table 9). So small datasets get smaller batches and more
        # updates. The rate stays the same: Adam's step does not grow with the batch, and updates are what is missing.
        min_updates=8,
        # One unusual clip among few must not spoil the tower (method §8 [D]).
        grad_clip=1.0,
        # CLIP's own bound during its training. Beyond it logits saturate, and overfitting looks like certainty ([D]).
        max_scale=100.0,
        # A forward pass holds two clips on a CPU and some thirty on a GPU, and frames of a clip look alike. Their
        # statistics are poor estimates, so batch norms keep those of the pretraining. CLIP's ViTs have no batch norms.
        batch_norms=False,
        # bf16 has fp32's range, so it needs no loss scaling and skips no steps. `auto` is fp16 on a GPU without bf16,
        # and fp32 on most CPUs.
        precision="auto",
        seed=0,
        # Labels may be things, and not only actions of a person. With the templates that the base is served with,
        # comparing novel labels before and after shows the effect of training only. The class name alone and the single
        # template differ by 0.1 points (paper Table A.4).
        templates=None,
        ensemble=None,
        frames=None,  # the base was validated with its profile's number
        # T-Trans is 1.4 points better than the mean on Kinetics (paper Table 8) and has 19 M new parameters. So it is
        # for large datasets only, and it starts as the mean, so that the tower is not trained against noise at first.
        # Smaller datasets use the mean, as the paper does for little data (§4.2). The mean also keeps the base's
        # accuracy on other labels.
        temporal_init="identity",
        temporal_from=LARGE_DATA,
        # Heads on frozen features do better than the loop on tens of clips, in a second instead of minutes
        # (benchmarks/NOTES.md). Thousands of clips can change the tower itself.
        closed_form_upto=2000,
        # Crops of at least 0.66 of the side, like the smallest of ActionCLIP's and ViFi-CLIP's (method §3.2). The 0.08
        # of the area that Text4Vis allows often shows no action, and few updates do not average that out.
        augment=Augment(area=(0.66**2, 1.0), randaugment=(2, 9)),
    ),
}
