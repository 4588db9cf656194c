"""Renders the tables of docs/ that come from the code: `make docs`. Tests fail where a table is stale."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from core.errors import BY_CODE
from core.settings import Settings
from models.fitting.recipes import RECIPES, Recipe
from models.profiles import zoo

DOCS = Path(__file__).parent
BEGIN, END = "<!-- rendered: {} -->", "<!-- end -->"


def settings_table() -> str:
    rows = ["| variable | default | what it does |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = "(none)" if default in (None, frozenset()) else f"`{default}`"
        rows.append(f"| `VIREO_{name.upper()}` | {shown} | {field.description} |")
    return "\n".join(rows)


def errors_table() -> str:
    rows = ["| status | code | `Retry-After` |", "|---|---|---|"]
    rows += [
        f"| {kind.status} | `{kind.code}` | {f'{kind.retry_after} s' if kind.retry_after else ''} |"
        for kind in sorted(BY_CODE.values(), key=lambda kind: (kind.status, kind.code))
    ]
    return "\n".join(rows)


# What of a recipe is a row of the table: what it is called, its value, and why ours is another than the code's. Where
# the reason is longer than that, it stands beside the number in models/fitting/recipes.py.
ROWS: tuple[tuple[str, Callable[[Recipe], object], str], ...] = (
    ("rate of new modules", lambda r: f"{r.lr:g}", "`lite` is a CNN with larger weights, and has further to go"),
    (
        "rate of the pretrained tower",
        lambda r: f"{r.lr * r.pretrained_ratio:g}",
        "as the code, whose logs show the published numbers",
    ),
    ("what moves of the tower", lambda r: r.tune, "`lite` is for machines without a GPU and tens of clips"),
    ("AdamW: betas, eps", lambda r: f"{r.betas[0]:g}, {r.betas[1]:g}, {r.eps:g}", "as the code"),
    ("weight decay", lambda r: f"{r.weight_decay:g}", ""),
    (
        "decayed",
        lambda r: "everything" if r.decay_all else "matrices only",
        "a bias, a norm's gain or the scale pulled to 0 is wrong, not simple",
    ),
    ("epochs", lambda r: f"{r.epochs:g}", "longer steps need fewer of them"),
    ("of them warm-up, linear from 0", lambda r: f"{r.warmup_epochs:.2g}", "the same share of the run"),
    (
        "where the cosine ends",
        lambda r: f"{r.min_lr_ratio:g} of the rate",
        "as the code; the paper's column reads its minimum as printed",
    ),
    ("the rate moves every", lambda r: _plural(r.lr_every, "step"), "ten steps may be an epoch of small data"),
    ("global batch", lambda r: r.batch, ""),
    (
        "steps in an epoch, at least",
        lambda r: r.min_updates,
        "small data needs updates, and a frozen W needs no large batch: it is made smaller",
    ),
    ("largest norm of a gradient", lambda r: r.grad_clip or "none", "one odd clip must not throw the tower off"),
    ("largest exp(s)", lambda r: f"{r.max_scale:g}" if r.max_scale else "none", "CLIP's own bound in its training"),
    ("seed", lambda r: r.seed, "any will do; the code's is kept where it is reproduced"),
    ("precision", lambda r: r.precision, "bf16 has fp32's range; fp16 only where a GPU lacks it; fp32 on a CPU"),
    ("text inputs", lambda r: r.text_inputs, ""),
    (
        "template",
        lambda r: f"`{r.templates[0]}`" if r.templates else "the base model's first",
        "labels may be things, and before and after should differ in training only",
    ),
    ("frames", lambda r: r.frames or "the base model's", "it was validated with them"),
    (
        "temporal head",
        lambda r: f"{r.temporal} from {r.temporal_from:,} clips on, else mean" if r.temporal_from else r.temporal,
        "19 M new parameters need data; short of it the paper takes the mean as well",
    ),
    ("it starts", lambda r: r.temporal_init, "as the mean: an untrained transformer is noise to the tower"),
    ("area of the random crop", lambda r: f"{r.augment.area[0]:.2g} to 1", "a tenth of a frame often holds no action"),
    ("flip, grey", lambda r: f"{r.augment.flip:g}, {r.augment.grayscale:g}", ""),
    ("RandAugment", lambda r: f"{r.augment.randaugment}, from {r.randaugment_from:,} clips on", ""),
    ("epochs, few-shot", lambda r: f"{r.few_shot_epochs:g}", "the paper's (§B.1); 30 are the released files'"),
    (
        "… of data as large as Kinetics",
        lambda r: f"{r.few_shot_epochs_large:g}",
        "the paper's (§B.1), over repeated clips",
    ),
)


def recipes_table() -> str:
    columns = [RECIPES["text4vis-paper"], RECIPES["text4vis-code"], RECIPES["default"]]
    rows = ["| | `text4vis-paper` | `text4vis-code` | `default` | why |", "|---|---|---|---|---|"]
    for words, value, why in ROWS:
        cells = [str(value(recipe)) for recipe in columns]
        lite = str(value(RECIPES["default"].for_base("lite")))
        if lite != cells[-1]:
            cells[-1] += f"; `lite`: {lite}"
        different = len(set(cells)) > 1
        rows.append(f"| {words} | {' | '.join(cells)} | {why if different else ''} |")
    return "\n".join(rows)


def _plural(count: int, noun: str) -> str:
    return noun if count == 1 else f"{count} {noun}s"


def heads_table() -> str:
    """Models that can have the same temporal heads share a row."""
    from models.image.time_blocks import (
        heads_of,  # here: it takes seconds to import, and the other tables need none of it
    )

    heads = {name: heads_of(entry) for name, entry in zoo.ENTRIES.items()}
    kinds = ("mean", "transformer", "token_conv", "conv")
    rows = ["| model | " + " | ".join(f"`{kind}`" for kind in kinds) + " |", "|---|---|---|---|---|"]
    for fitting in dict.fromkeys(heads.values()):
        names = ", ".join(f"`{name}`" for name, found in heads.items() if found == fitting)
        rows.append(f"| {names} | " + " | ".join("yes" if kind in fitting else "–" for kind in kinds) + " |")
    return "\n".join(rows)


TABLES = (
    ("configuration.md", "settings", settings_table),
    ("api.md", "errors", errors_table),
    ("training.md", "recipes", recipes_table),
    ("training.md", "heads", heads_table),
)


def rendered(page: str, name: str, table: str) -> str:
    """The page with the block between its markers replaced. Raises: ValueError where the markers are missing."""
    begin = BEGIN.format(name)
    head, mark, rest = page.partition(begin)
    _, end, tail = rest.partition(END)
    if not mark or not end:
        raise ValueError(f"the page lacks {begin} … {END}")
    return f"{head}{begin}\n{table}\n{END}{tail}"


def main() -> None:
    for file, name, table in TABLES:
        path = DOCS / file
        path.write_text(rendered(path.read_text(encoding="utf-8"), name, table()), encoding="utf-8")


if __name__ == "__main__":
    main()
