"""The model that a run starts from, the text encoder that fills W, and the rows of W that serving would use."""

from __future__ import annotations

from torch import Tensor

from core.errors import ModelUnavailable, UnknownModel
from models.classifier.inputs import TextInputs
from models.classifier.rows import build_classifier
from models.files.bases import open_base, resolve_auto
from models.files.versions import open_version
from models.profiles import zoo
from models.recognition.base import Base
from models.text.encoder import TextEncoder
from models.text.external_encoder import choose_text_encoder
from models.weights.errors import WeightsUnavailable
from worker.children.messages import send_message
from worker.training.spec import RunSpec


def open_base_model(spec: RunSpec) -> Base:
    """In fp32, on the CPU. Raises: UnknownModel, ModelUnavailable."""
    settings = spec.settings

    def progress(what: str, share: float) -> None:
        send_message("log", message=f"{what} ({share:.0%})")

    try:
        if spec.version is not None:
            return open_version(spec.version, data_dir=settings.data_dir, progress=progress)
        name = spec.model or settings.model
        if name == "auto":
            name, _ = resolve_auto(settings.data_dir, settings.weights)
        if name not in zoo.model_names(settings.data_dir):
            raise UnknownModel(f"There is no model {name!r}.", nearest=zoo.nearest_names(name, settings.data_dir))
        weights = settings.weights if name == settings.model else None
        return open_base(name, data_dir=settings.data_dir, weights_file=weights, progress=progress)
    except WeightsUnavailable as error:
        raise ModelUnavailable(error.message, hint=error.hint) from error


def open_text_encoder(spec: RunSpec, classifier: str, base: Base, seed: int) -> TextEncoder:
    """The text encoder that the classifier kind `classifier` uses. Raises: ModelUnavailable."""
    try:
        return choose_text_encoder(classifier, base.text_encoder, seed=seed, folder=spec.settings.data_dir / "weights")
    except WeightsUnavailable as error:
        raise ModelUnavailable(error.message, hint=error.hint) from error


def text_rows(
    encoder: TextEncoder, labels: tuple[str, ...], templates: tuple[str, ...], dim: int, *, normalise: bool
) -> Tensor:
    """Unit rows [C, d] as serving would make them for these labels. Raises: ValueError."""
    inputs = TextInputs("templates", templates, normalise)
    return build_classifier("text", labels=labels, encoder=encoder, inputs=inputs, dim=dim, seed=0).rows()


def base_rows(base: Base, labels: tuple[str, ...], *, normalise: bool) -> Tensor | None:
    """W of the base model [C, d], as it is served. None if its labels are closed and some of these are not among
    them."""
    if base.fixed_rows is None:
        return text_rows(base.text_encoder, labels, base.profile.templates, base.dim, normalise=normalise)
    if any(label not in base.classes for label in labels):
        return None
    return base.fixed_rows[[base.classes.index(label) for label in labels]]  # [C, d]
