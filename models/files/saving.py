"""Writing a fine-tuned version, as `layout` describes it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from safetensors.torch import save_file
from torch import Tensor, nn

from models.files.architectures import CONFIG, registered_config
from models.files.layout import PROMPTS_OF_IMAGE, PROMPTS_OF_TEXT, TEXT, TOKENIZER, WEIGHTS
from models.recognition.base import Base
from models.recognition.temporal import TemporalTransformer
from models.recognition.video_model import VideoModel
from models.text.anchored_encoder import AnchoredTextEncoder
from models.text.clip_encoder import is_clip, text_state
from models.text.context_encoder import ContextTextEncoder
from models.text.encoder import TextEncoder
from models.text.sentence_encoder import CentredMiniLM
from models.weights.digests import digest
from models.weights.states import StateDict, weights_digest


class SavableTextEncoder(Protocol):
    """A text encoder that writes its own files, such as `ExternalTextEncoder`."""

    def save(self, directory: Path) -> None:
        """Write everything that is needed to load it without the network."""


def save_version(
    directory: Path, model: VideoModel, base: Base, *, encoder: TextEncoder, classifier: Mapping[str, Tensor]
) -> dict[str, Any]:
    """Write model.safetensors and text/ into `directory`. The caller writes the card.

    encoder: the text encoder to serve with; classifier: the classifier's state, at least `rows`.
    → what the card must say about the model: `architecture`, `temporal`, `text`, `dim`, `logit_scale`, `digest`,
    `text_digest`.
    """
    state = dict(model.tower.state_dict()) | {"logit_scale": model.logit_scale}
    plain = model.tower.dim - (0 if model.tower.extension is None else len(model.tower.extension.bias))
    state |= {f"temporal.{name}": tensor for name, tensor in model.temporal.state_dict().items()}
    state |= {f"classifier.{name}": tensor for name, tensor in classifier.items()}
    state |= _save_encoder(encoder, directory / TEXT)
    return {
        "architecture": base.architecture,
        "temporal": _describe_head(model, base),
        "text": "own",
        "dim": plain,
        "logit_scale": float(model.logit_scale.detach().exp()),
        "digest": write_weights(directory, base.architecture, state),
        "text_digest": encoder.digest,
    }


def save_prompts(
    directory: Path, model: VideoModel, base: Base, *, encoder: TextEncoder, classifier: Mapping[str, Tensor]
) -> dict[str, Any]:
    """Write only what was learned: the prompts of both towers. The rest is the base's, which the card names by name and
    digest. Arguments and result: as `save_version`, and `prompts`."""
    assert model.tower.prompts is not None
    assert isinstance(encoder, ContextTextEncoder)
    bridge = base.bridge
    learned = {PROMPTS_OF_IMAGE: model.tower.prompts, PROMPTS_OF_TEXT: encoder.context}
    state = {name: _to_saved(tensor) for name, tensor in learned.items()}
    _write(directory, state | {"classifier.rows": _to_saved(classifier["rows"])})
    return {
        "architecture": base.architecture,
        "temporal": _describe_head(model, base),
        "text": "base",
        "dim": base.dim,
        "logit_scale": base.logit_scale,
        "digest": digest("prompts", bridge.digest, bridge.text_digest, weights_digest(state)),
        "text_digest": encoder.digest,
        "prompts": {
            "base": bridge.name,
            "digest": bridge.digest,
            "text_digest": bridge.text_digest,
            "image": list(model.tower.prompts.shape),
            "text": list(encoder.context.shape),
        },
    }


def write_weights(directory: Path, architecture: str, state: StateDict) -> str:
    """Write a version's tensors as fp32, and the configuration of its architecture if open_clip does not list it.
    → the digest of both."""
    state = {name: _to_saved(tensor) for name, tensor in state.items()}
    _write(directory, state)
    if config := registered_config(architecture):
        (directory / CONFIG).write_text(json.dumps(config), encoding="utf-8")
    return digest("version", architecture, weights_digest(state))


def _write(directory: Path, state: StateDict) -> None:
    save_file(state, directory / WEIGHTS)
    (directory / WEIGHTS).chmod(0o644)  # save_file lets only its own user read it; the gateway may be another user


def _save_encoder(encoder: TextEncoder, directory: Path) -> StateDict:
    """Writes what is not stored among the version's tensors. → the tensors that are."""
    if isinstance(encoder, AnchoredTextEncoder):
        anchors = {"anchors.vectors": encoder.anchors, "anchors.classes": encoder.classes}
        return _save_encoder(encoder.inner, directory) | anchors
    context = {"context": encoder.context.clone()} if isinstance(encoder, ContextTextEncoder) else {}
    if is_clip(encoder.module):
        return text_state(encoder.module) | _bias(encoder.module) | context
    if isinstance(encoder.module, CentredMiniLM):
        directory.mkdir(parents=True)
        encoder.module.tokenizer.save(str(directory / TOKENIZER))
        return text_state(encoder.module) | context
    cast("SavableTextEncoder", encoder).save(directory)
    return {}


def _bias(module: nn.Module) -> StateDict:
    """SigLIP's bias. It does not change a softmax, but a version that is exported needs it."""
    return {name: tensor for name, tensor in module.state_dict().items() if name == "logit_bias"}


def _describe_head(model: VideoModel, base: Base) -> dict[str, Any]:
    """The card's `temporal`: what is needed to build the head again."""
    described: dict[str, Any] = {"kind": model.kind, "text_width": base.text_width}
    if isinstance(model.temporal, TemporalTransformer):
        head = model.temporal
        described |= {
            "heads": head.heads,
            "layers": len(head.blocks),
            "positions": head.positions.num_embeddings,
        }
    return described


def _to_saved(tensor: Tensor) -> Tensor:
    """On the CPU, contiguous, and fp32 unless it is an integer."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.is_floating_point() else tensor).contiguous()
