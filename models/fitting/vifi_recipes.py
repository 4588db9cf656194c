"""The recipes of ViFi-CLIP (method §8, §12), and our own `default` for its methods.

The recipes are the released code: its table of §12, the solver of §8, the transforms of §3.2, and mixup, cutmix and
label smoothing, which are on in every released configuration. `default` starts from `vifi-zero-shot`, and a comment
justifies every difference.
"""

from __future__ import annotations

from dataclasses import replace

from core.vocabulary import RecipeName
from models.fitting.mixing import Mixing
from models.fitting.recipes import Recipe
from models.frames.augmentation import VIFI, Augment

FIRST_WORDS = "a photo of a"  # CTX_INIT of the code, which uses it for up to four vectors (method §12)
MOST_WORDS = 4

ZERO_SHOT = Recipe(
    name="vifi-zero-shot",
    lr=8e-6,
    pretrained_ratio=1.0,  # one group: nothing is new
    betas=(0.9, 0.98),
    eps=1e-8,
    weight_decay=0.001,
    decay_all=True,
    epochs=10,
    warmup_epochs=5,
    min_lr_ratio=0.01,  # optimizer.py 49-63: timm's cosine per step, down to a hundredth
    whole_cosine=True,
    lr_every=1,
    batch=256,  # 4 · 8 GPUs · 8
    drop_last=True,
    precision="fp16",  # apex O1
    seed=1024,
    templates=("a photo of a {}.",),  # config.py 43 (method §16 #13)
    frames=32,
    temporal="mean",
    augment=VIFI,
    augment_frozen=True,
    mixing=Mixing(),
    smoothing=0.1,
    preprocessing="vifi",
    repeat_shots=False,  # lists of K clips per class are read as they are
    few_shot_epochs=10,
    few_shot_epochs_large=10,
)
SUPERVISED = replace(
    ZERO_SHOT,
    name="vifi-supervised",
    lr=2.2e-5,
    epochs=30,
    batch=512,  # 4 · 16 GPUs · 8
    frames=16,
    views="4x3",
    few_shot_epochs=30,
    few_shot_epochs_large=30,
)
# Of one tower alone: 8e-6 and 256 in these configurations as well.
SUPERVISED_ALONE = replace(SUPERVISED, lr=8e-6, batch=256)
BASE_TO_NOVEL = replace(
    ZERO_SHOT,
    name="vifi-base-to-novel",
    lr=2e-6,
    epochs=11,
    batch=64,  # 4 · 2 GPUs · 8
    few_shot_epochs=11,
    few_shot_epochs_large=11,
)
FEW_SHOT = replace(BASE_TO_NOVEL, name="vifi-few-shot", epochs=50, few_shot_epochs=50, few_shot_epochs_large=50)

VIFI_DEFAULT = replace(
    ZERO_SHOT,
    name="default",
    # MiniLM, the text tower of `lite`, is the exception: see `Recipe.for_base`.
    # Biases, norms and the scale are not weights of a sum: decay pulls them towards a wrong model (method §8 [D]).
    decay_all=False,
    # Half of a run of ten epochs is too long to warm up where an epoch has eight steps; a tenth is usual. The cosine
    # then begins where the warm-up ends, so that the rate has no jump.
    warmup_epochs=1,
    whole_cosine=False,
    # A batch as small as the data allows gives more updates, and cross-entropy over all classes needs no large one.
    batch=64,
    min_updates=8,
    # With little data, the last batch of an epoch is a large share of it.
    drop_last=False,
    # One unusual clip among few must not spoil both towers; beyond CLIP's own bound of exp(s), overfitting looks like
    # certainty (method §8 [D]).
    grad_clip=1.0,
    max_scale=100.0,
    # The statistics of a few clips are poor estimates. CLIP's ViTs have no batch norms.
    batch_norms=False,
    # bf16 has fp32's range and skips no steps.
    precision="auto",
    seed=0,
    # The base was validated with its own templates, frames and preprocessing. With these, what changes between before
    # and after is the training only, and the weights of CLIP expect CLIP's statistics.
    templates=None,
    ensemble=None,
    frames=None,
    preprocessing="base",
    # Crops of at least 0.66 of the side, as in the code. Colours often tell classes of one's own footage apart (a
    # uniform, a traffic light), so they stay.
    augment=Augment(area=(0.66**2, 1.0)),
    # A frozen image tower looks at each clip once, which is what makes `text_only` cheap.
    augment_frozen=False,
    # The paper does not mention mixing and smoothing (method §16 #11). They blur few clips further, and lower scores
    # below what the model knows; off until it is measured that they help.
    mixing=None,
    smoothing=0.0,
    # The paper's length for K shots (§12).
    few_shot_epochs=50,
    few_shot_epochs_large=10,
)

PROMPT_BASE_TO_NOVEL = replace(
    BASE_TO_NOVEL, name="vifi-prompt-base-to-novel", lr=4e-2, templates=None, prompt_tokens=16, prompt_depth=9
)
PROMPT_FEW_SHOT = replace(
    FEW_SHOT, name="vifi-prompt-few-shot", lr=8e-3, templates=None, prompt_tokens=10, prompt_depth=12
)
PROMPT_DEFAULT = replace(
    VIFI_DEFAULT,
    # The rate, the tokens and the depth of the few-shot configuration: little data is what prompts are for. Its 50
    # epochs are for K shots; 20 are about as many updates for the few hundred clips of most datasets.
    lr=8e-3,
    epochs=20,
    warmup_epochs=2,
    prompt_tokens=10,
    prompt_depth=12,
)
PROMPT_RECIPES: dict[RecipeName, Recipe] = {
    recipe.name: recipe for recipe in (PROMPT_DEFAULT, PROMPT_BASE_TO_NOVEL, PROMPT_FEW_SHOT)
}

VIFI_RECIPES: dict[RecipeName, Recipe] = {
    recipe.name: recipe for recipe in (VIFI_DEFAULT, ZERO_SHOT, SUPERVISED, BASE_TO_NOVEL, FEW_SHOT)
}
ALONE_RECIPES: dict[RecipeName, Recipe] = VIFI_RECIPES | {"vifi-supervised": SUPERVISED_ALONE}
