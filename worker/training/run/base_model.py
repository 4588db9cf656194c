"""The model that a run starts from, and the text encoder that fills W."""

from __future__ import annotations

from core.errors import ModelUnavailable, UnknownModel
from models.files.bases import open_base, resolve_auto
from models.files.versions import open_version
from models.profiles import zoo
from models.recognition.base import Base
from models.text.encoder import TextEncoder
from models.text.external_encoder import choose_text_encoder
from models.weights.errors import WeightsUnavailable
from worker.children.messages import send_message
from worker.training.spec import Spec


def open_model(spec: Spec) -> Base:
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


def open_texts(spec: Spec, classifier: str, base: Base, seed: int) -> TextEncoder:
    """The text side that `classifier` reads with. Raises: ModelUnavailable."""
    try:
        return choose_text_encoder(classifier, base.text_encoder, seed=seed, folder=spec.settings.data_dir / "weights")
    except WeightsUnavailable as error:
        raise ModelUnavailable(error.message, hint=error.hint) from error
