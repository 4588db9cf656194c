"""From a model's name to its base: where its weights are looked for, and which model `auto` stands for."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import torch

from models.files.architectures import register_architecture
from models.image.time_blocks import can_be_prompted
from models.image.towers import clip_tower
from models.lite import assembly
from models.lite.network import LiteTower, lite_text_encoder
from models.profiles import zoo
from models.profiles.profile import Profile
from models.recognition.base import Base
from models.recognition.temporal import MeanPool
from models.text.clip_encoder import ClipModel, ClipTextEncoder, text_width
from models.weights import hub, states
from models.weights.digests import digest
from models.weights.errors import WeightsUnavailable
from models.weights.progress import LoadProgress

PREFERRED = "clip-b16"  # what `auto` stands for if its weights can be had


def open_base(name: str, *, data_dir: Path, weights_file: Path | None = None, progress: LoadProgress) -> Base:
    """The model of that name, from the zoo or a local checkpoint, in fp32 on the CPU.

    weights_file: use this file instead of searching by name. Raises: KeyError for an unknown name, WeightsUnavailable.
    """
    try:
        entry = zoo.find_entry(name, data_dir)
    except zoo.BadCard as error:
        raise WeightsUnavailable(str(error), "Check the model's card.") from error
    if name == "lite":
        return open_lite(data_dir / "models" / "lite", progress)
    progress(f"loading {name}", 0.0)
    file = weights_file or states.find_local_weights(name, data_dir)
    if entry.config is not None:
        architecture, model = _own_architecture(entry, file)
    else:
        architecture, model = entry.architecture, _listed_architecture(entry, file, progress)
    progress(f"preparing {name}", 0.8)
    return clip_base(name, model, architecture, entry.profile)


def clip_base(name: str, model: ClipModel, architecture: str, profile: Profile) -> Base:
    """A base made of an open_clip model with loaded weights. It takes ownership of the model. Raises:
    WeightsUnavailable."""
    weights = states.weights_digest(model.state_dict())
    visual, logit_scale = model.visual, float(model.logit_scale.detach().exp())
    encoder = ClipTextEncoder(model, architecture)
    return Base(
        name=name,
        architecture=architecture,
        tower=clip_tower(visual, encoder.dim),
        temporal=MeanPool(),
        temporal_kind="mean",
        text_encoder=encoder,
        profile=profile,
        dim=encoder.dim,
        logit_scale=logit_scale,
        text_width=text_width(model),
        digest=digest("clip", architecture, weights),
    )


def open_lite(directory: Path, progress: LoadProgress = lambda *_: None) -> Base:
    """`lite` from `directory`. It is assembled there first if that is needed. Raises: WeightsUnavailable."""
    model, card = assembly.load_lite(directory, progress)
    encoder = lite_text_encoder(model, directory / assembly.TOKENIZER, card["text_digest"])
    return Base(
        name="lite",
        architecture="lite",
        tower=LiteTower(model),
        temporal=MeanPool(),
        temporal_kind="mean",
        text_encoder=encoder,
        profile=Profile.from_dict(card["profile"]),
        dim=encoder.dim,
        logit_scale=float(card["logit_scale"]),
        text_width=encoder.dim,
        digest=card["digest"],
    )


def promptable_names(data_dir: Path) -> list[str]:
    """The models of the zoo that can carry prompts. A local checkpoint with an invalid card is not one of them."""
    found = []
    for name in zoo.model_names(data_dir):
        with suppress(zoo.BadCard):
            if can_be_prompted(zoo.find_entry(name, data_dir)):
                found.append(name)
    return found


def resolve_auto(data_dir: Path, weights_file: Path | None = None) -> tuple[str, str]:
    """The model that `auto` stands for on this machine, and the reason. The answer comes within five seconds, without a
    retry."""
    entry = zoo.ENTRIES[PREFERRED]
    if weights_file or states.find_local_weights(PREFERRED, data_dir):
        return PREFERRED, "its weights file is on this machine"
    if hub.find_cached_weights(entry.architecture, entry.tag):
        return PREFERRED, "its weights are in the model cache of this machine"
    if hub.hub_has_weights(entry.architecture, entry.tag):
        return PREFERRED, "its weights can be downloaded from the model hub"
    return "lite", f"the weights of {PREFERRED} are not on this machine, and the model hub cannot be reached"


def _own_architecture(entry: zoo.ZooEntry, file: Path | None) -> tuple[str, torch.nn.Module]:
    """The name and the model of an architecture that the card defines. Raises: WeightsUnavailable."""
    try:
        architecture = register_architecture(entry.config or {})
    except (ValueError, TypeError) as error:
        raise WeightsUnavailable(f"The architecture in {entry.name}.json is invalid: {error}.") from error
    if file is None:
        raise WeightsUnavailable(f"There are no weights beside {entry.name}.json.", "Put a .safetensors file there.")
    return architecture, states.build_model(architecture, states.read_state(file), file.name)


def _listed_architecture(entry: zoo.ZooEntry, file: Path | None, progress: LoadProgress) -> torch.nn.Module:
    """The model of an architecture that open_clip lists. Raises: WeightsUnavailable."""
    hub.check_quick_gelu(entry.architecture, entry.tag)
    file = file or hub.find_cached_weights(entry.architecture, entry.tag)
    if file:
        return states.build_model(entry.architecture, states.read_state(file), file.name)
    progress(f"downloading {entry.name}, about {entry.megabytes} MB", 0.1)
    return hub.download_model(entry.architecture, entry.tag)
