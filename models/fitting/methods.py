"""Training methods. A method is data: which parameters move, what is minimised, and what its recipes are.

Nothing else asks which method a run has. Which recipes and which fields of a request fit a method stands in
`core.vocabulary`, because the gateway has to know it as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from core.vocabulary import Fusion, MethodName, RecipeName, TunedPart
from models.fitting.objectives import CrossEntropy, Objective
from models.fitting.recipes import RECIPES, Recipe
from models.fitting.vifi_recipes import ALONE_RECIPES, VIFI_RECIPES
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

    @property
    def trains_text(self) -> bool:
        return "text_tower" in self.moves

    @property
    def trains_images(self) -> bool:
        return "image_tower" in self.moves

    def recipe(self, name: RecipeName) -> Recipe:
        return self.recipes[name]

    def objective(self, fusion: Fusion = "embedding", smoothing: float = 0.0) -> Objective:
        return CrossEntropy(fusion, smoothing)


METHODS: dict[MethodName, Method] = {
    method.name: method
    for method in (
        Method(
            "text4vis",
            "Text4Vis: the video half learns to meet a frozen W.",
            frozenset({"image_tower", "head", "prompts", "scale"}),
            RECIPES,
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
