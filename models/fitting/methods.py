"""Training methods. A method is data: which parameters move, what is minimised, and which recipes fit it.

Nothing else asks which method a run has.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.vocabulary import MethodName, RecipeName, TunedPart
from models.fitting.objectives import CrossEntropy, Objective
from models.recognition.video_model import VideoModel
from models.weights.roles import Role


@dataclass(frozen=True, slots=True)
class Method:
    name: MethodName
    about: str
    moves: frozenset[Role]
    recipes: tuple[RecipeName, ...]

    def objective(self) -> Objective:
        return CrossEntropy()


METHODS: dict[MethodName, Method] = {
    method.name: method
    for method in (
        Method(
            name="text4vis",
            about="the video half learns to meet a frozen W (Text4Vis)",
            moves=frozenset({"image_tower", "head", "prompts", "scale"}),
            recipes=("default", "text4vis", "text4vis-2023"),
        ),
    )
}


def let_move(model: VideoModel, method: Method, tune: TunedPart) -> None:
    """Freeze what the method does not train."""
    for role, _, parameter in model.parameters_by_role():
        parameter.requires_grad_(role in method.moves)
    if tune == "projection" and "image_tower" in method.moves:
        model.tower.requires_grad_(False)
        for _, parameter in (*model.tower.projection_parameters(), *model.tower.time_blocks.named_parameters()):
            parameter.requires_grad_(True)
