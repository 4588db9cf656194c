"""A fine-tuned version on disk: model.safetensors, card.json, and under text/ what the text side needs besides weights.

The file's tensors are fp32 and have these names:
    visual.*, transformer.*, text.*, …   open_clip's own, text tower included; for lite those of its own file
    logit_scale                          s
    temporal.*, time_blocks.*            the temporal head; convolutions over time inside the tower
    classifier.*                         what the classifier keeps, at least `rows` [C, d]
    context                              [M, w], where the text side reads learned context vectors (CoOp)
Where there is no text tower in the file, the text side is another encoder's (text/), or the base model's own (imported
checkpoints that hold no text: `"text": "base"` in the card).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from core.vocabulary import TemporalKind
from models.files import architectures
from models.image.time_blocks import attach
from models.image.towers import clip_tower
from models.profiles.profile import Profile
from models.recognition.base import Base
from models.recognition.temporal import MeanPool, TemporalTransformer
from models.recognition.video_model import ImageTower, VideoModel
from models.text.context import ContextText
from models.text.encoders import NOT_TEXT, ClipTexts, SentenceModule, SentenceTexts, TextSide, is_clip, text_state
from models.weights import states
from models.weights.digests import digest
from models.weights.states import StateDict, WeightsUnavailable, weights_digest

Progress = Callable[[str, float], None]

WEIGHTS, CARD, TEXT, TOKENIZER = "model.safetensors", "card.json", "text", "tokenizer.json"
ADDED = ("temporal.", "time_blocks.", "classifier.", "context")  # ours: no open_clip model has such names


class SavableText(Protocol):
    """A text side of its own making, such as external_text.py's."""

    def save(self, directory: Path) -> None:
        """Everything that it needs, so that it can be loaded without the network."""


def save(
    directory: Path, model: VideoModel, base: Base, *, texts: TextSide, classifier: Mapping[str, Tensor]
) -> dict[str, Any]:
    """Write model.safetensors and text/ into `directory`; the card is the caller's. `texts`: the text side to serve
    with; `classifier`: its state, at least `rows`. → what the card must say of the model: `architecture`, `temporal`,
    `text`, `dim`, `logit_scale`, `digest`, `text_digest`."""
    state = dict(model.tower.state_dict()) | {"logit_scale": model.logit_scale}
    state |= {f"temporal.{name}": tensor for name, tensor in model.temporal.state_dict().items()}
    state |= {f"classifier.{name}": tensor for name, tensor in classifier.items()}
    state |= _save_texts(texts, directory / TEXT)
    return {
        "architecture": base.architecture,
        "temporal": _describe(model, base),
        "text": "own",
        "dim": base.dim,
        "logit_scale": float(model.logit_scale.detach().exp()),
        "digest": write(directory, base.architecture, state),
        "text_digest": texts.digest,
    }


def write(directory: Path, architecture: str, state: StateDict) -> str:
    """Write a version's tensors as fp32, and what else its architecture needs to be built; → their digest."""
    state = {name: _plain(tensor) for name, tensor in state.items()}
    save_file(state, directory / WEIGHTS)
    (directory / WEIGHTS).chmod(0o644)  # it is written for its owner alone; the gateway may be somebody else
    if config := architectures.config_of(architecture):
        (directory / architectures.CONFIG).write_text(json.dumps(config), encoding="utf-8")
    return digest("version", architecture, weights_digest(state))


def open_version(directory: Path, *, data_dir: Path, progress: Progress) -> Base:
    """The version in `directory`, in fp32 on the CPU. `data_dir`: where the base model's weights are, should its text
    tower be needed. Raises: WeightsUnavailable."""
    try:
        card: dict[str, Any] = json.loads((directory / CARD).read_text(encoding="utf-8"))
        name = f"{card['name']}:{card['version']}"
        progress(f"loading {name}", 0.0)
        base = _rebuild(directory, name, card, load_file(directory / WEIGHTS), data_dir, progress)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        raise WeightsUnavailable(f"The version in {directory.name} cannot be read ({reason}).") from error
    progress(f"{name} is loaded", 1.0)
    return base


def export_state(directory: Path) -> StateDict:
    """The version's tensors that a plain open_clip model of its architecture has: without temporal head and classifier,
    and without a text tower where the version is served with another encoder. Raises: ValueError for `lite`, which is
    no open_clip model."""
    card = json.loads((directory / CARD).read_text(encoding="utf-8"))
    if card["architecture"] == "lite":
        raise ValueError("lite is no open_clip model, so there is no state dict of one to export")
    return {name: tensor for name, tensor in load_file(directory / WEIGHTS).items() if not name.startswith(ADDED)}


def _rebuild(
    directory: Path, name: str, card: Mapping[str, Any], state: StateDict, data_dir: Path, progress: Progress
) -> Base:
    architecture, kind = str(card["architecture"]), cast("TemporalKind", card["temporal"]["kind"])
    if (directory / architectures.CONFIG).exists():
        architectures.register(json.loads((directory / architectures.CONFIG).read_text(encoding="utf-8")))
    plain = {key: tensor for key, tensor in state.items() if not key.startswith(ADDED)}
    open_parts = _open_lite if architecture == "lite" else _open_clip
    tower, own = open_parts(directory, card, plain)
    texts: TextSide = own or _other_texts(directory, card, data_dir, progress)
    if "context" in state:
        texts = ContextText(texts, state["context"])
        texts.digest = str(card["text_digest"])  # what it made of the text tower's was not the tower's own
    if kind != "mean":
        attach(tower, kind, "identity")
    tower.time_blocks.load_state_dict(_under("time_blocks.", state))
    temporal = _head(card["temporal"], int(card["dim"]))
    temporal.load_state_dict(_under("temporal.", state))
    open_labels = bool(card["open_labels"])
    return Base(
        name=name,
        architecture=architecture,
        tower=tower,
        temporal=temporal,
        temporal_kind=kind,
        texts=texts,
        profile=Profile.from_dict(card["profile"]),
        dim=int(card["dim"]),
        logit_scale=float(state["logit_scale"].exp()),
        text_width=int(card["temporal"]["text_width"]),
        digest=str(card["digest"]),
        classes=tuple(card["classes"]),
        open_labels=open_labels,
        fixed_rows=None if open_labels else state["classifier.rows"],
    )


def _open_clip(directory: Path, card: Mapping[str, Any], state: StateDict) -> tuple[ImageTower, ClipTexts | None]:
    """Raises: WeightsUnavailable."""
    architecture = str(card["architecture"])
    own = any(not name.startswith("visual.") and name not in NOT_TEXT for name in state)
    model: Any = states.build(architecture, state, directory.name, only="" if own else "visual.")
    tower = clip_tower(model.visual, int(card["dim"]))
    return tower, ClipTexts(model, architecture, str(card["text_digest"])) if own else None


def _open_lite(directory: Path, card: Mapping[str, Any], state: StateDict) -> tuple[ImageTower, SentenceTexts | None]:
    """Raises: KeyError, RuntimeError."""
    from models.lite import assembly

    model = assembly.LiteModel()
    own = "centre" in state
    wanted = [name for name in model.state_dict() if own or name.startswith(("eyes.", "targets"))]
    model.load_state_dict({name: state[name] for name in wanted}, strict=own)
    digest = str(card["text_digest"])
    return assembly.LiteTower(model), assembly.lite_texts(model, directory / TEXT / TOKENIZER, digest) if own else None


def _other_texts(directory: Path, card: Mapping[str, Any], data_dir: Path, progress: Progress) -> TextSide:
    """Raises: WeightsUnavailable."""
    if card["text"] == "base":
        return _base_texts(card, data_dir, progress)
    from models.text.external import ExternalText  # here, because transformers is an optional extra

    texts: TextSide = ExternalText.load(directory / TEXT)
    return texts


def _base_texts(card: Mapping[str, Any], data_dir: Path, progress: Progress) -> TextSide:
    """With the digest that it has on this machine now, so that no row of other weights is taken for its own. Raises:
    WeightsUnavailable."""
    from models.files.loader import open_base  # it imports this module

    base, version = str(card["base"]), f"{card['name']}:{card['version']}"
    needs = f"{version} reads labels with the text tower of {base}, which is not in its file."
    try:
        texts = open_base(base, data_dir=data_dir, progress=progress).texts
    except KeyError:
        hint = f"Put its weights and its card back into the data directory: weights/{base}.safetensors and {base}.json."
        raise WeightsUnavailable(f"{needs} There is no model {base} here.", hint) from None
    except WeightsUnavailable as error:
        hint = f"{error.hint or ''} Its name there is weights/{base}.safetensors (or .pt).".strip()
        raise WeightsUnavailable(f"{needs} {error.message}", hint) from error
    if texts.dim != int(card["dim"]):
        raise WeightsUnavailable(f"{needs} That gives {texts.dim} numbers for a text, not {card['dim']}.")
    return texts


def _save_texts(texts: TextSide, directory: Path) -> StateDict:
    """Writes what are no tensors of the version's file; → those that are."""
    context = {"context": texts.context.clone()} if isinstance(texts, ContextText) else {}
    if is_clip(texts.module):
        return text_state(texts.module) | _bias(texts.module) | context
    if isinstance(texts.module, SentenceModule):
        directory.mkdir(parents=True)
        texts.module.tokenizer.save(str(directory / TOKENIZER))
        return text_state(texts.module) | context
    cast("SavableText", texts).save(directory)
    return {}


def _bias(module: nn.Module) -> StateDict:
    """SigLIP's bias, which no softmax feels; kept for those who export the version."""
    return {name: tensor for name, tensor in module.state_dict().items() if name == "logit_bias"}


def _describe(model: VideoModel, base: Base) -> dict[str, Any]:
    """The card's `temporal`: what `_head` needs."""
    said: dict[str, Any] = {"kind": model.kind, "text_width": base.text_width}
    if isinstance(model.temporal, TemporalTransformer):
        table = model.temporal.positions
        said |= {"heads": model.temporal.heads, "layers": len(model.temporal.blocks), "positions": table.num_embeddings}
    return said


def _head(said: Mapping[str, Any], dim: int) -> nn.Module:
    if said["kind"] != "transformer":
        return MeanPool()
    return TemporalTransformer(dim, int(said["heads"]), layers=int(said["layers"]), positions=int(said["positions"]))


def _under(prefix: str, state: StateDict) -> StateDict:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def _plain(tensor: Tensor) -> Tensor:
    """On the CPU, in one piece, fp32 unless it counts something."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.is_floating_point() else tensor).contiguous()
