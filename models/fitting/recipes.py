"""Training recipes: every number that shapes a run, with its source beside it. No torch here.

`text4vis-paper` and `text4vis-code` are the two columns of method §8 (paper Table A.3, and the released code).
`default` is ours: it starts from the code's column, and every difference is justified where it stands.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from core.vocabulary import RecipeName, TemporalInit, TemporalKind, TextInputKind, TunedPart
from models.frames.augmentation import Augment

# From here on a run counts as large. The logs show RandAugment off on ActivityNet's 10 k clips and on with Kinetics'
# 240 k (method §16 #4): this is their geometric middle.
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
# CLIP's 28 for Kinetics, the grid of method §4; the articles are ours
KINETICS_TEMPLATES = tuple(
    f"{carrier} {'a ' if linker else ''}{linker}{{}}." for carrier in _CARRIERS for linker in _LINKERS
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """The defaults are Text4Vis' released code, method §8 [C]; rates and decay are AdamW's."""

    name: RecipeName
    lr: float = 5e-5  # of new modules
    pretrained_ratio: float = 0.1  # T4V `clip_ratio`: image tower and logit_scale learn at 5e-6
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.2
    decay_all: bool = True  # also biases, norms and logit_scale
    epochs: float = 30
    warmup_epochs: float = 5  # linear, from 0
    min_lr_ratio: float = 0.0  # the cosine's end: the log reaches 1e-12
    lr_every: int = 10  # the rate moves on the first, then every 10th iteration (train.py 337-339)
    batch: int = 256  # global (method §16 #9: one number on any machine, the rest is accumulated)
    min_updates: int = 1  # of an epoch; `effective_batch` makes the batch smaller for that
    grad_clip: float | None = None  # norm
    max_scale: float | None = None  # of exp(s); method §7: no clamp
    precision: Literal["auto", "fp16"] = (
        "fp16"  # autocast and GradScaler over fp32 weights; `auto`: what the machine has
    )
    seed: int = 1024
    text_inputs: TextInputKind = "template"
    templates: tuple[str, ...] | None = ("a video of a person {}.",)  # paper §B.2; None: those of the base's profile
    ensemble: tuple[str, ...] | None = KINETICS_TEMPLATES  # for text inputs "templates"; None: the base profile's
    frames: int | None = 8  # None: the base profile's
    temporal: TemporalKind = "transformer"
    temporal_init: TemporalInit = "random"
    temporal_from: int = 0  # training clips; the head of smaller data is the mean
    tune: TunedPart = "tower"  # what of the image tower moves
    augment: Augment = field(default_factory=lambda: Augment(randaugment=(2, 9)))  # paper Table A.3, and the logs
    randaugment_from: int = LARGE_DATA  # training clips (method §16 #4)
    few_shot_epochs: float = 30  # the YAML files; of repeated data (method §10)
    few_shot_epochs_large: float = 30  # of data as large as Kinetics

    def for_base(self, architecture: str) -> Recipe:
        """The recipe for a model to start from: `lite`, or open_clip's name. Only `default` makes a difference.

        CLIP's towers learn at Text4Vis' rates. `lite` is a pair of ImageNet CNNs, and takes rates 20 times as high:
        - Adam moves every weight by about the rate, whatever its size: half of lite's convolutions have weights above
          0.09 (root mean square), CLIP's matrices 0.01 to 0.02. The same relative step is 5 to 10 times as long.
        - It has further to go. CLIP's joint space is the product of its training, and is lost by long steps; lite's was
          solved from ImageNet's 1000 names, and no pixel of it has ever seen a label.
        - The result, 1e-4 and 1e-3, is where AdamW fine-tunes ImageNet CNNs everywhere.
        Longer steps need fewer of them: 10 epochs, as the paper gives data sets smaller than Kinetics (§B.1).

        And of `lite` only the projection moves, unless the tower is asked for: it is there for machines without a GPU
        and for tens of clips. A frozen trunk is run once per clip, instead of at three times its cost per clip and
        epoch, and a few million weights above good features are what so few clips can fit (linear probing before
        fine-tuning, Kumar et al. 2022). What is run once sees each clip once: there is no augmentation then.
        """
        if self.name != "default" or architecture != "lite":
            return self
        return replace(self, lr=1e-3, tune="projection").with_epochs(10)

    def for_data(self, clips: int) -> Recipe:
        """The recipe for so many training clips, before any few-shot draw: what needs large data is left out."""
        small = replace(self.augment, randaugment=None)
        return replace(
            self,
            augment=self.augment if clips >= self.randaugment_from else small,
            temporal=self.temporal if clips >= self.temporal_from else "mean",
        )

    def few_shot(self, clips: int) -> Recipe:
        """K per class out of so many clips: the paper's epochs over repeated shots, and the mean as head, because an
        untrained T-Trans is not harmless (method §6, §10; the paper's §4.2 and the few-shot YAML files agree)."""
        epochs = self.few_shot_epochs_large if clips >= LARGE_DATA else self.few_shot_epochs
        return replace(self.with_epochs(epochs), temporal="mean")

    def with_epochs(self, epochs: float) -> Recipe:
        """Another length. A shorter run keeps the warm-up's share of it, a longer one the warm-up's epochs."""
        warmup = min(self.warmup_epochs, self.warmup_epochs * epochs / self.epochs)
        return replace(self, epochs=epochs, warmup_epochs=warmup)

    def to_dict(self) -> dict[str, Any]:
        """For the card: every field."""
        return asdict(self)


def effective_batch(recipe: Recipe, clips: int, batch: int | None = None) -> int:
    """The global batch of an epoch of so many clips. A batch that somebody asked for is taken as it is."""
    return batch or max(1, min(recipe.batch, clips // recipe.min_updates))


RECIPES: dict[str, Recipe] = {
    "text4vis-code": Recipe(name="text4vis-code"),
    "text4vis-paper": Recipe(
        name="text4vis-paper",
        pretrained_ratio=1.0,  # Table A.3 knows one rate, 5e-5 ("base")
        betas=(0.9, 0.98),
        min_lr_ratio=0.1,  # "minimal" 5e-6, read as it is printed; method §16 #3 takes it for the tower's rate instead
        lr_every=1,  # the paper knows no coarser step
        few_shot_epochs=10,  # §B.1
        few_shot_epochs_large=2,  # §B.1, Kinetics
    ),
    "default": Recipe(
        name="default",
        # A bias, a norm's gain and the scale are no weights of a sum: decay pulls them towards a model that is wrong,
        # not towards a simpler one (method §8 [D]).
        decay_all=False,
        # An epoch of small data has ten updates or fewer: every tenth would be a rate for whole epochs.
        lr_every=1,
        # With a batch of 256, 100 clips make one update in an epoch and 30 in all. The frozen W needs no large batch
        # (no contrast within it, paper Table 9), so small data gets smaller batches and more updates. The rate stays:
        # Adam's step does not grow with the batch, and it is updates that are short.
        min_updates=8,
        # One odd clip among few must not throw the tower off (method §8 [D]).
        grad_clip=1.0,
        # CLIP's own bound while it was trained: beyond it logits saturate, and overfitting shows as certainty ([D]).
        max_scale=100.0,
        # bf16 has fp32's range: no loss scaling, no skipped steps. fp16 where a GPU lacks it, fp32 on most CPUs.
        precision="auto",
        seed=0,
        # Labels may be things, not only what a person does; and with the templates that the base is served with,
        # "before and after" on labels that were not trained on compares training and nothing else. Between the class
        # name alone and the single template lie 0.1 points (paper Table A.4).
        templates=None,
        ensemble=None,
        frames=None,  # the base is validated with its profile's number
        # T-Trans is 1.4 points better than the mean on Kinetics (paper Table 8), and has 19 M new parameters: large
        # data only, and it starts as the mean, so that the tower is not trained against noise at first. Below that
        # size the mean, as in the paper where data is short (§4.2); it also leaves other labels as the base knew them.
        temporal_init="identity",
        temporal_from=LARGE_DATA,
        # Crops of at least 0.66 of the side, as the smallest of ActionCLIP's and ViFi-CLIP's (method §3.2): the 0.08 of
        # the area that Text4Vis allows often holds no action, and few updates do not average over that.
        augment=Augment(area=(0.66**2, 1.0), randaugment=(2, 9)),
        few_shot_epochs=10,  # paper §B.1 (method §16 #5)
        few_shot_epochs_large=2,
    ),
}
