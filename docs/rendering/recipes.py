"""The table of training recipes, with the reason for each difference."""

from __future__ import annotations

from collections.abc import Callable

from core.vocabulary import METHOD_RECIPES
from models.fitting.methods import METHODS
from models.fitting.recipes import RECIPES, Recipe
from rendering.markdown import code, table

# Each row: its heading, the value in a recipe, and why it differs. Longer reasons stand
# beside the numbers in models/fitting/recipes.py.
ROWS: tuple[tuple[str, Callable[[Recipe], object], str], ...] = (
    (
        "learning rate of new modules",
        lambda r: f"{r.lr:g}",
        "`lite` is a CNN with larger weights, and it has to change more than CLIP",
    ),
    (
        "learning rate of the pretrained tower",
        lambda r: f"{r.lr * r.pretrained_ratio:g}",
        "the ratio stays; see above",
    ),
    (
        "learning rate of a text tower that is trained",
        lambda r: f"{r.rates('tower')['text_tower'] * r.lr:g}",
        "MiniLM, the text tower of `lite`, is fine-tuned at 2e-5",
    ),
    (
        "trained part of the image tower",
        lambda r: r.tune,
        "`lite` is meant for machines without a GPU and for tens of clips",
    ),
    (
        "AdamW: betas, eps",
        lambda r: f"{r.betas[0]:g}, {r.betas[1]:g}, {r.eps:g}",
        "the paper and the logs have 0.98; the code of 2023 has 0.999",
    ),
    (
        "statistics of batch norms (RN50, MobileCLIP, `lite`)",
        lambda r: "trained with the tower" if r.batch_norms else "the base model's",
        "the statistics of a few clips are poor estimates",
    ),
    ("weight decay", lambda r: f"{r.weight_decay:g}", ""),
    (
        "parameters with weight decay",
        lambda r: "all" if r.decay_all else "matrices only",
        "decay pulls a bias, a norm's gain or the scale towards a wrong model, not towards a simpler one",
    ),
    ("epochs", lambda r: f"{r.epochs:g}", "larger steps need fewer epochs"),
    ("warm-up epochs, linear from 0", lambda r: f"{r.warmup_epochs:.2g}", "the same share of the run"),
    (
        "final value of the cosine schedule",
        lambda r: f"{r.min_lr_ratio:g} of the rate",
        "",
    ),
    (
        "the learning rate changes every",
        lambda r: _plural(r.lr_every, "step"),
        "ten steps can be a whole epoch of a small dataset",
    ),
    ("global batch", lambda r: r.batch, ""),
    (
        "minimum steps per epoch",
        lambda r: r.min_updates,
        "a small dataset needs more updates; a frozen W does not need a large batch, so the batch is made smaller",
    ),
    (
        "maximum gradient norm",
        lambda r: r.grad_clip or "none",
        "one unusual clip must not change the tower by much",
    ),
    (
        "maximum exp(s)",
        lambda r: f"{r.max_scale:g}" if r.max_scale else "none",
        "the bound that CLIP was trained with",
    ),
    ("seed", lambda r: r.seed, "any seed will do; the two reproductions keep the one of the code"),
    (
        "precision",
        lambda r: r.precision,
        "bf16 has the range of fp32; fp16 is used only on a GPU without bf16, fp32 on a CPU",
    ),
    ("text inputs", lambda r: r.text_inputs, ""),
    (
        "template",
        lambda r: f"`{r.templates[0]}`" if r.templates else "the base model's first",
        "labels may be things, and the results before and after training should differ by the training only",
    ),
    ("frames", lambda r: r.frames or "the base model's", "the base model was validated with its own number"),
    (
        "solver",
        lambda r: f"closed form up to {r.closed_form_upto:,} clips" if r.closed_form_upto else "the training loop",
        "heads on frozen features do better than the loop with tens of clips, in a second instead of minutes",
    ),
    (
        "temporal head",
        lambda r: f"{r.temporal} from {r.temporal_from:,} clips on, else mean" if r.temporal_from else r.temporal,
        "19 M new parameters need much data; with less data the paper uses the mean as well",
    ),
    (
        "initial state of the temporal head",
        lambda r: r.temporal_init,
        "it starts as the mean, because an untrained transformer sends noise to the tower",
    ),
    (
        "area of the random crop",
        lambda r: f"{r.augment.area[0]:.2g} to 1",
        "a tenth of a frame often does not show the action",
    ),
    ("probability of flip, grey", lambda r: f"{r.augment.flip:g}, {r.augment.grayscale:g}", ""),
    (
        "RandAugment",
        lambda r: f"{r.augment.randaugment}, from {r.randaugment_from:,} clips on" if r.augment.randaugment else "none",
        "on in the logs of Kinetics; the code of 2023 leaves it out",
    ),
    (
        "epochs, few-shot",
        lambda r: f"{r.few_shot_epochs:g}",
        "the paper's (§B.1); the released configuration files have 30",
    ),
    (
        "epochs, few-shot on a dataset as large as Kinetics",
        lambda r: f"{r.few_shot_epochs_large:g}",
        "the paper's (§B.1), over repeated clips; the released configuration files have 30",
    ),
)


def recipes_table() -> str:
    columns = [RECIPES["text4vis"], RECIPES["text4vis-2023"], RECIPES["default"]]
    rows = []
    for heading, value, why in ROWS:
        cells = [str(value(recipe)) for recipe in columns]
        lite = str(value(RECIPES["default"].for_base("lite")))
        if lite != cells[-1]:
            cells[-1] += f"; `lite`: {lite}"
        different = len(set(cells)) > 1
        rows.append((heading, *cells, why if different else ""))
    return table(("", *(code(recipe.name) for recipe in columns), "why"), rows)


# The same for ViFi-CLIP's recipes: what they differ in, and why our own differs.
VIFI_ROWS: tuple[tuple[str, Callable[[Recipe], object], str], ...] = (
    (
        "learning rate",
        lambda r: f"{r.lr:g}; `lite`: {r.for_base('lite').lr:g}" if r.name == "default" else f"{r.lr:g}",
        "",
    ),
    ("epochs", lambda r: f"{r.epochs:g}", ""),
    ("global batch", lambda r: r.batch, "a smaller batch gives more updates, and W of all classes needs no large one"),
    (
        "minimum steps per epoch",
        lambda r: r.min_updates,
        "a small dataset needs more updates",
    ),
    ("last batch, if smaller", lambda r: "left out" if r.drop_last else "used", "it is a large share of little data"),
    ("frames", lambda r: r.frames or "the base model's", "the base model was validated with its own number"),
    (
        "warm-up epochs; the cosine begins",
        lambda r: f"{r.warmup_epochs:g}; {'with the run' if r.whole_cosine else 'after it'}",
        "half of ten epochs is too long where an epoch has eight steps; and the rate should have no jump",
    ),
    ("final value of the cosine schedule", lambda r: f"{r.min_lr_ratio:g} of the rate", ""),
    ("weight decay", lambda r: f"{r.weight_decay:g} of {'all' if r.decay_all else 'matrices'}", "as for `text4vis`"),
    (
        "maximum gradient norm; maximum exp(s)",
        lambda r: f"{r.grad_clip or 'none'}; {f'{r.max_scale:g}' if r.max_scale else 'none'}",
        "as for `text4vis`",
    ),
    ("template", lambda r: f"`{r.templates[0]}`" if r.templates else "the base model's first", "as for `text4vis`"),
    (
        "preprocessing of the version",
        lambda r: "ImageNet's statistics, centre of segments" if r.preprocessing == "vifi" else "the base model's",
        "the weights of CLIP expect CLIP's statistics",
    ),
    (
        "crop and colours",
        lambda r: "multi-scale, colour jitter" if r.augment.scales else f"area {r.augment.area[0]:.2g} to 1",
        "colours often tell the classes of one's own footage apart",
    ),
    (
        "augmentation of `text_only`",
        lambda r: "on" if r.augment_frozen else "off",
        "a frozen image tower can look at each clip once",
    ),
    (
        "mixup and cutmix",
        lambda r: f"α {r.mixing.mixup:g}, {r.mixing.cutmix:g}" if r.mixing else "off",
        "the paper does not mention them; off until it is measured that they help",
    ),
    ("label smoothing", lambda r: f"{r.smoothing:g}", "as mixing"),
    ("statistics of batch norms", lambda r: "trained" if r.batch_norms else "the base model's", "as for `text4vis`"),
    ("precision", lambda r: r.precision, "as for `text4vis`"),
    ("views of a second evaluation", lambda r: r.views, ""),
    ("epochs with `shots`", lambda r: f"{r.few_shot_epochs:g}", "the paper's length for K shots"),
    ("epochs with `shots`, of large data", lambda r: f"{r.few_shot_epochs_large:g}", ""),
    ("seed", lambda r: r.seed, "any seed will do"),
)


def vifi_recipes_table() -> str:
    ours, *theirs = (METHODS["vifi"].recipe(name) for name in METHOD_RECIPES["vifi"])
    columns = [*theirs, ours]
    rows = []
    for heading, value, why in VIFI_ROWS:
        cells = [str(value(recipe)) for recipe in columns]
        rows.append((heading, *cells, why if cells[0] != cells[-1] else ""))
    return table(("", *(code(recipe.name) for recipe in columns), "why ours differs"), rows)


def _plural(count: int, noun: str) -> str:
    return noun if count == 1 else f"{count} {noun}s"
