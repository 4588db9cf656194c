"""The models of a run as they are opened and served: the base, the text encoder that fills W, the version that the run
has written, and the rows of W that questions get."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from core.errors import ModelUnavailable, UnknownModel
from models.classifier.ensemble import build_rows
from models.files.bases import open_base, resolve_auto
from models.files.loader import load_version, serve_base
from models.files.versions import open_version
from models.profiles import zoo
from models.recognition.base import Base
from models.recognition.recognizer import Recognizer
from models.text.encoder import EncodeTexts, TextEncoder
from models.text.external_encoder import choose_text_encoder
from models.weights.errors import WeightsUnavailable
from worker.children.messages import send_message
from worker.training.spec import RunSpec


def open_base_model(spec: RunSpec) -> Base:
    """In fp32, on the CPU. Raises: UnknownModel, ModelUnavailable."""
    settings = spec.settings
    with _weights_wanted():
        if spec.version is not None:
            return open_version(
                spec.version, data_dir=settings.data_dir, progress=_progress, find_base=lambda name: _bridge(spec, name)
            )
        return _open_zoo_model(spec, spec.model or settings.model)


def _open_bridge(spec: RunSpec) -> Base:
    """What the prompts that the run learns are for."""
    base = open_base_model(spec)
    return _bridge(spec, base.prompts_for.name) if base.prompts_for else base


def _bridge(spec: RunSpec, name: str) -> Base:
    """What the prompts of a version of the spec are for."""
    if name in spec.bridges:
        return open_version(spec.bridges[name], data_dir=spec.settings.data_dir, progress=_progress)
    return _open_zoo_model(spec, name)


def _open_zoo_model(spec: RunSpec, name: str) -> Base:
    settings = spec.settings
    if name == "auto":
        name, _ = resolve_auto(settings.data_dir, settings.weights)
    if name not in zoo.model_names(settings.data_dir):
        raise UnknownModel(f"There is no model {name!r}.", nearest=zoo.nearest_names(name, settings.data_dir))
    weights = settings.weights if name == settings.model else None
    return open_base(name, data_dir=settings.data_dir, weights_file=weights, progress=_progress)


def open_text_encoder(spec: RunSpec, classifier: str, base: Base, seed: int) -> TextEncoder:
    """The text encoder that the classifier kind `classifier` uses. Raises: ModelUnavailable."""
    with _weights_wanted():
        return choose_text_encoder(classifier, base.text_encoder, seed=seed, folder=spec.settings.data_dir / "weights")


def open_written_version(spec: RunSpec, device: torch.device) -> Recognizer:
    """The version in `spec.output`, as an inference worker of this machine opens it. Raises: ModelUnavailable."""
    settings = spec.settings
    with _weights_wanted():
        return load_version(
            spec.output,
            data_dir=settings.data_dir,
            device=str(device),
            precision=settings.precision,
            progress=lambda *_: None,  # it has no number yet
            find_base=lambda _: _open_bridge(spec),
        )


def open_standing_version(spec: RunSpec, device: torch.device) -> Recognizer:
    """The version in `spec.standing`, as an inference worker of this machine opens it. Raises: ModelUnavailable."""
    assert spec.standing is not None
    settings = spec.settings
    with _weights_wanted():
        return load_version(
            spec.standing[1],
            data_dir=settings.data_dir,
            device=str(device),
            precision=settings.precision,
            progress=lambda *_: None,
            find_base=lambda name: _bridge(spec, name),
        )


def as_served(base: Base, spec: RunSpec, device: torch.device, *, keep: bool = True) -> Recognizer:
    """`base` as an inference worker of this machine serves it. keep: as in `Base.recognizer`. Raises:
    ModelUnavailable."""
    with _weights_wanted():
        return serve_base(base, device=str(device), precision=spec.settings.precision, keep=keep)


@contextmanager
def _weights_wanted() -> Iterator[None]:
    """Raises: ModelUnavailable."""
    try:
        yield
    except WeightsUnavailable as error:
        raise ModelUnavailable(error.message, hint=error.hint) from error


def _progress(what: str, share: float) -> None:
    send_message("log", message=f"{what} ({share:.0%})")


def text_rows(encode: EncodeTexts, labels: Sequence[str], templates: Sequence[str], *, normalise: bool) -> Tensor:
    """Unit rows [C, d], as serving makes them of these labels. Raises: ValueError."""
    return build_rows(encode, [(label, None) for label in labels], templates, normalise)[0]


def served_rows(
    recognizer: Recognizer, labels: Sequence[str], *, normalise: bool, templates: Sequence[str] | None = None
) -> Tensor | None:
    """W of a recogniser [C, d], as questions get it, or None if its labels are closed and some of these are not among
    them. templates: None for its own. Raises: ValueError."""
    if recognizer.fixed_rows is None:
        return text_rows(
            recognizer.encode_texts, labels, templates or recognizer.profile.templates, normalise=normalise
        )
    if any(label not in recognizer.classes for label in labels):
        return None
    return recognizer.fixed_rows[[recognizer.classes.index(label) for label in labels]]  # [C, d]
