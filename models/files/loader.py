"""From a name to a base and a recogniser: which weights there are, where they are looked for, and what `auto` means."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from core.vocabulary import Precision
from models.files import architectures
from models.files.versions import open_version
from models.image.precision import choose_device, choose_dtype
from models.image.towers import clip_base
from models.profiles import zoo
from models.recognition.base import Base
from models.recognition.recognizer import Recognizer
from models.weights import states
from models.weights.states import WeightsUnavailable

Progress = Callable[[str, float], None]
"""Told what is being done and how far it is, 0 to 1."""

PREFERRED = "clip-b16"


def load(
    name: str,
    *,
    data_dir: Path,
    weights_file: Path | None = None,
    device: str = "auto",
    precision: Precision = "auto",
    progress: Progress,
) -> Recognizer:
    """`weights_file`: instead of those found by name. Raises: KeyError for an unknown name, WeightsUnavailable."""
    where, dtype = _choose(device, precision)
    base = open_base(name, data_dir=data_dir, weights_file=weights_file, progress=progress)
    return base.recognizer(where, dtype, keep=False)


def load_version(
    directory: Path, *, data_dir: Path, device: str = "auto", precision: Precision = "auto", progress: Progress
) -> Recognizer:
    """The fine-tuned version in `directory`. Raises: WeightsUnavailable."""
    where, dtype = _choose(device, precision)
    base = open_version(directory, data_dir=data_dir, progress=progress)
    return base.recognizer(where, dtype, keep=False)


def open_base(name: str, *, data_dir: Path, weights_file: Path | None = None, progress: Progress) -> Base:
    """The zoo's model of that name, or a local checkpoint's, in fp32 on the CPU. Raises: KeyError for an unknown name,
    WeightsUnavailable."""
    try:
        entry = zoo.find(name, data_dir)
    except zoo.BadCard as error:
        raise WeightsUnavailable(str(error), "Check the model's card.") from error
    if name == "lite":
        from models.lite import assembly

        return assembly.open_lite(data_dir / "models" / "lite", progress)
    progress(f"loading {name}", 0.0)
    local = weights_file or states.find_local(name, data_dir)
    if entry.config is not None:
        architecture, model = _custom(entry, local)
    else:
        architecture, model = entry.architecture, _model(entry, local, progress)
    progress(f"preparing {name}", 0.8)
    return clip_base(name, model, architecture, entry.profile)


def resolve_auto(data_dir: Path, weights_file: Path | None = None) -> tuple[str, str]:
    """The model that `auto` means on this machine, and why; decided within five seconds, without a retry."""
    entry = zoo.ENTRIES[PREFERRED]
    if weights_file or states.find_local(PREFERRED, data_dir):
        return PREFERRED, "its weights file is on this machine"
    if states.find_cached(entry.architecture, entry.tag):
        return PREFERRED, "its weights are in the model cache of this machine"
    if states.hub_has(entry.architecture, entry.tag):
        return PREFERRED, "its weights can be downloaded from the model hub"
    return "lite", f"the weights of {PREFERRED} are not on this machine, and the model hub cannot be reached"


def _choose(device: str, precision: Precision) -> tuple[torch.device, torch.dtype]:
    try:
        where = choose_device(device)
        return where, choose_dtype(where, precision)
    except (ValueError, RuntimeError) as error:
        raise WeightsUnavailable(str(error), "Check VIREO_DEVICE and VIREO_PRECISION.") from error


def _custom(entry: zoo.Entry, file: Path | None) -> tuple[str, torch.nn.Module]:
    """Raises: WeightsUnavailable."""
    try:
        architecture = architectures.register(entry.config or {})
    except (ValueError, TypeError) as error:
        raise WeightsUnavailable(f"The architecture in {entry.name}.json is none: {error}.") from error
    if file is None:
        raise WeightsUnavailable(f"There are no weights beside {entry.name}.json.", "Put a .safetensors file there.")
    return architecture, states.build(architecture, states.read_state(file), file.name)


def _model(entry: zoo.Entry, local: Path | None, progress: Progress) -> torch.nn.Module:
    states.check_quick_gelu(entry.architecture, entry.tag)
    file = local or states.find_cached(entry.architecture, entry.tag)
    if file:
        return states.build(entry.architecture, states.read_state(file), file.name)
    progress(f"downloading {entry.name}, about {entry.megabytes} MB", 0.1)
    return states.download(entry.architecture, entry.tag)
