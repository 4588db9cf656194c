"""From a name on the shelf to its recogniser: a model of the zoo, or a version in the registry of its project."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from core.errors import UnknownModel
from core.projects import split_name
from core.registry import WEIGHTS, Registry
from core.settings import Settings
from core.vocabulary import Precision
from models.files.bases import PREFERRED, open_base
from models.files.loader import load_model, load_version
from models.files.versions import open_version
from models.profiles import zoo
from models.recognition.base import Base
from models.recognition.recognizer import Recognizer
from models.weights.progress import LoadProgress
from models.weights.states import find_local_weights


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """registry: of the default project; progress: gets a line of text about what is being loaded."""

    settings: Settings
    registry: Registry
    progress: Callable[[str], None]

    def open(self, name: str, *, device: str | None = None, precision: Precision | None = None) -> Recognizer:
        """device, precision: None for those of the settings. Raises: WeightsUnavailable, UnknownModel."""

        def progress(what: str, share: float) -> None:
            self.progress(f"{what} ({share:.0%})")

        data_dir = self.settings.data_dir
        device, precision = device or self.settings.device, precision or self.settings.precision
        if self._is_version(name):
            project, version = split_name(name)
            registry = self.registry.of(project)
            with registry.directory(registry.resolve(version)) as files:
                return load_version(
                    files,
                    data_dir=data_dir,
                    device=device,
                    precision=precision,
                    progress=lambda _, share: progress("loading a fine-tuned model", share),
                    find_base=lambda base: self._open_base(registry, base, progress),
                )
        return load_model(
            name,
            data_dir=data_dir,
            weights_file=self._weights_for(name),
            device=device,
            precision=precision,
            progress=progress,
        )

    def exist(self, name: str) -> bool:
        """Raises: StorageUnavailable."""
        if not self._is_version(name):
            return True
        project, version = split_name(name)
        with suppress(UnknownModel):
            self.registry.of(project).resolve(version)
            return True
        return False

    def estimate(self, name: str) -> int:
        """Bytes of a model that was never loaded here: about those of its weights file. Raises: UnknownModel."""
        if self._is_version(name):
            project, version = split_name(name)
            registry = self.registry.of(project)
            with registry.file(registry.resolve(version), WEIGHTS) as weights:
                return weights.stat().st_size
        file = self._weights_for(name) or find_local_weights(name, self.settings.data_dir)
        if file and file.is_file():
            return file.stat().st_size
        return zoo.ENTRIES[name].megabytes << 20 if name in zoo.ENTRIES else 0

    def _is_version(self, name: str) -> bool:
        return name not in zoo.model_names(self.settings.data_dir)

    def _open_base(self, registry: Registry, name: str, progress: LoadProgress) -> Base:
        """What a version of prompts refers to. Raises: WeightsUnavailable, UnknownModel."""
        data_dir = self.settings.data_dir
        if not self._is_version(name):
            return open_base(name, data_dir=data_dir, weights_file=self._weights_for(name), progress=progress)
        with registry.directory(registry.resolve(name)) as files:
            return open_version(
                files, data_dir=data_dir, progress=lambda _, share: progress("loading a fine-tuned model", share)
            )

    def _weights_for(self, name: str) -> Path | None:
        """`VIREO_WEIGHTS`, if it is the file of this model."""
        configured = self.settings.model
        return self.settings.weights if name == (PREFERRED if configured == "auto" else configured) else None
