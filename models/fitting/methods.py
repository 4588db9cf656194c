"""Training methods. A method is data: which parameters move, what is minimised, and what its recipes are.

Nothing else asks which method a run has. Which recipes and which fields of a request fit a method stands in
`core.vocabulary`, because the gateway has to know it as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from core.vocabulary import Contrast, Fusion, MethodName, RecipeName, TunedPart
from models.fitting.objectives import Contrastive, CrossEntropy, Objective
from models.fitting.recipes import RECIPES, Recipe
from models.fitting.vifi_recipes import ALONE_RECIPES, PROMPT_RECIPES, VIFI_RECIPES
from models.recognition.video_model import VideoModel
from models.weights.roles import Role


@dataclass(frozen=True, slots=True)
class Method:
    name: MethodName
    about: str
    moves: frozenset[Role]
    recipes: Mapping[RecipeName, Recipe]  # what their names mean for it
    classifier: str | None = None  # of W; None: the request's
    mean: bool = False  # whether its temporal head is always the mean
    prompted: bool = False  # whether it learns prompts in both towers, and keeps the base's head and fusion
    closed_form: bool = False  # whether it can be fitted in closed form on frozen features
    contrastive: bool = False  # whether clips are contrasted within the batch, instead of compared with all classes

    @property
    def trains_text(self) -> bool:
        return "text_tower" in self.moves

    @property
    def trains_images(self) -> bool:
        return "image_tower" in self.moves

    def recipe(self, name: RecipeName) -> Recipe:
        return self.recipes[name]

    def offline(self) -> Method:
        """The same with a frozen text tower."""
        return replace(self, moves=self.moves - {"text_tower"})

    def objective(
        self, fusion: Fusion = "embedding", smoothing: float = 0.0, contrast: Contrast | None = None
    ) -> Objective:
        return Contrastive(contrast or "kl") if self.contrastive else CrossEntropy(fusion, smoothing)


# A batch that is smaller than the others has fewer texts to be told apart from (method §13: `drop_last=True`).
_CONTRASTIVE = {name: replace(recipe, drop_last=True) for name, recipe in RECIPES.items()}

METHODS: dict[MethodName, Method] = {
    method.name: method
    for method in (
        Method(
            "text4vis",
            "Text4Vis: the video half learns to meet a frozen W.",
            frozenset({"image_tower", "head", "prompts", "scale"}),
            RECIPES,
            closed_form=True,
        ),
        Method(
            "vision_only",
            "The baseline without text: as `text4vis`, with a learned W.",
            frozenset({"image_tower", "head", "scale"}),
            RECIPES,
            classifier="learned",
        ),
        Method(
            "vifi",
            "ViFi-CLIP: both towers and the scale are trained; W is computed anew in every step.",
            frozenset({"image_tower", "text_tower", "prompts", "scale"}),
            VIFI_RECIPES,
            classifier="text",
            mean=True,
        ),
        Method(
            "image_only",
            "ViFi-CLIP's image-FT: only the image tower is trained; the scale is frozen.",
            frozenset({"image_tower", "prompts"}),
            ALONE_RECIPES,
            classifier="text",
            mean=True,
        ),
        Method(
            "text_only",
            "ViFi-CLIP's text-FT: only the text tower is trained; the scale is frozen.",
            frozenset({"text_tower", "prompts"}),
            ALONE_RECIPES,
            classifier="text",
            mean=True,
        ),
        Method(
            "contrastive",
            "The baseline of Text4Vis' Table 9: clips and texts of a batch are told apart, over all processes.",
            frozenset({"image_tower", "text_tower", "head", "prompts", "scale"}),
            _CONTRASTIVE,
            classifier="text",
            contrastive=True,
        ),
        Method(
            "vl_prompt",
            "ViFi-CLIP's second step: prompts are learned in both towers, and every weight of the base stays.",
            frozenset({"prompts"}),
            PROMPT_RECIPES,
            classifier="text",
            prompted=True,
        ),
    )
}


def let_move(model: VideoModel, method: Method, tune: TunedPart | None) -> None:
    """Freeze what the method does not train."""
    for role, _, parameter in model.parameters_by_role():
        parameter.requires_grad_(role in method.moves)
    if tune == "projection" and method.trains_images:
        model.tower.requires_grad_(False)
        for _, parameter in (*model.tower.projection_parameters(), *model.tower.time_blocks.named_parameters()):
            parameter.requires_grad_(True)
