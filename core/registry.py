"""The registry: fine-tuned models by name and version, in the store. There is no index that could disagree with it.

    registry/<name>/<version>/model.safetensors, card.json, report.json, report.html, *.png
    registry/<name>/aliases.json            {"production": 3}

A version is written elsewhere and published by one rename. In a remote store its card is written last, and a version
without a card does not exist. A version never changes. `name` means the newest version, `name:3` the third,
`name@production` the version that the alias points to.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from core.errors import NotFound, UnknownModel
from core.storage import Store
from core.training_requests import MODEL_REF_PATTERN

CARD, WEIGHTS, REPORT, REPORT_PAGE = "card.json", "model.safetensors", "report.json", "report.html"

_REF = re.compile(r"([A-Za-z0-9][A-Za-z0-9._\-]*)(?::([0-9]+)|@([a-z0-9][a-z0-9._\-]*))?")


class Card(BaseModel):
    """Everything that is needed to serve a version and to train it again. docs/training.md explains the mappings."""

    model_config = ConfigDict(extra="ignore", frozen=True)  # a newer worker may have written it

    format: Literal[1] = Field(1, description="version of the card's format")
    name: str = Field(description="name of the model")
    version: int = Field(description="number of the version")
    created_at: float = Field(description="unix seconds")
    origin: Literal["trained", "imported"] = Field(description="how the version was made")
    base: str = Field(description="model that the version started from, as `name` or `name:version`")
    architecture: str = Field(description="`lite`, or open_clip's name")
    method: str = Field(description="training method, `text4vis`")
    recipe: str | None = Field(None, description="name of the recipe; null for an imported version")
    temporal: dict[str, Any] = Field(
        description="temporal head: `kind`, and what is needed to build it (`heads`, `layers`, `positions`, "
        "`text_width`)"
    )
    classifier: dict[str, Any] = Field(description="classifier: `kind`, `text_inputs`, `templates`, `normalize_labels`")
    classes: tuple[str, ...] = Field(description="classes of the training, in the order of W's rows")
    open_labels: bool = Field(description="true: questions may have any labels; false: only `classes`")
    text: Literal["own", "base"] = Field("own", description="whether the text tower is in the file or is the base's")
    profile: dict[str, Any] = Field(
        description="how the version was validated and is served: normalisation, crop, sampling, frames, templates"
    )
    dim: int = Field(description="d, width of the vectors")
    logit_scale: float = Field(description="exp(s)")
    digest: str = Field(description="digest of the weights; it is in every answer and in every cache key")
    text_digest: str = Field(description="digest of the text side")
    hyperparameters: dict[str, Any] = Field(
        default_factory=dict,
        description="every number of the run: the recipe's, and `global_batch`, `micro_batch`, `lr`, `tune`, `frames`, "
        "`precision`, `augment`, `repeats`",
    )
    dataset: dict[str, Any] | None = Field(None, description="id, digest, name, clips per split")
    shots: dict[str, Any] | None = Field(
        None, description="K, seed, and the drawn clips by class; null without few-shot"
    )
    seeds: dict[str, int] = Field(default_factory=dict, description="`run`; `split`, where a split was made")
    metrics: dict[str, Any] = Field(
        default_factory=dict,
        description="`split` that was judged; `views`: the numbers of the version; `before`: those of the base model "
        "on the same clips",
    )
    base_to_novel: dict[str, Any] | None = Field(
        None,
        description="top-1 on base and novel classes before and after training, with harmonic means; null where the "
        "dataset does not allow it",
        validation_alias=AliasChoices("base_to_novel", "freedom"),  # the name in the first cards
    )
    job: str | None = Field(None, description="job that made the version")
    packages: dict[str, str] = Field(
        default_factory=dict, description="versions of Python and of the packages that computed it"
    )
    note: str | None = Field(None, description="what a user of the version should know")


@dataclass(frozen=True, slots=True)
class Version:
    name: str
    version: int

    def __str__(self) -> str:
        return f"{self.name}:{self.version}"

    @property
    def key(self) -> str:
        return f"registry/{self.name}/{self.version}"


class Registry:
    """Model versions in the store. On a local store a read costs a few `stat` calls."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def names(self) -> list[str]:
        return [name for name in self._store.children("registry") if self.versions(name)]

    def versions(self, name: str) -> list[int]:
        """Numbers of the published versions, ascending."""
        numbers = sorted(int(child) for child in self._store.children(f"registry/{name}") if child.isdecimal())
        return [number for number in numbers if self._store.exists(f"registry/{name}/{number}/{CARD}")]

    def aliases(self, name: str) -> dict[str, int]:
        text = self._store.read_text(f"registry/{name}/aliases.json")
        return dict(json.loads(text)) if text else {}

    def knows(self, ref: str) -> bool:
        """Whether the name in `ref` has any version."""
        match = _REF.fullmatch(ref)
        return match is not None and bool(self.versions(match[1]))

    def resolve(self, ref: str) -> Version:
        """Raises: UnknownModel."""
        match = _REF.fullmatch(ref)
        if match is None or not re.match(MODEL_REF_PATTERN, ref):
            raise UnknownModel(
                f"{ref[:80]!r} is not a valid model name.", hint="Write name, name:version or name@alias."
            )
        name, number, alias = match.groups()
        versions = self.versions(name)
        if not versions:
            raise UnknownModel(f"There is no model {name!r}.", hint="GET /v1/models lists the models.")
        if alias is not None:
            aliases = self.aliases(name)
            if alias not in aliases:
                raise UnknownModel(f"{name} has no alias {alias!r}.", hint=f"It has: {', '.join(aliases) or 'none'}.")
            number = str(aliases[alias])
        wanted = int(number) if number is not None else versions[-1]
        if wanted not in versions:
            raise UnknownModel(f"{name} has no version {wanted}.", hint=f"It has: {', '.join(map(str, versions))}.")
        return Version(name, wanted)

    def card(self, version: Version) -> Card:
        """Raises: UnknownModel where the version has been deleted."""
        text = self._store.read_text(f"{version.key}/{CARD}")
        if text is None:
            raise UnknownModel(f"There is no model {version}.")
        return Card.model_validate_json(text)

    def directory(self, version: Version) -> Path:
        """The directory of a version on this machine. From a remote store it is copied once. Raises: UnknownModel."""
        try:
            return self._store.local_tree(version.key, marker=CARD)
        except FileNotFoundError:
            raise UnknownModel(f"There is no model {version}.") from None

    def file(self, version: Version, name: str) -> Path:
        """Raises: NotFound."""
        try:
            return self._store.local_path(f"{version.key}/{name}")
        except FileNotFoundError:
            raise NotFound(f"{version} has no file {name!r}.") from None

    def publish(self, directory: Path, version: Version) -> None:
        """Make a finished directory visible as `version`, completely or not at all. A version that exists already (its
        worker died just after publishing it) is not changed."""
        self._store.publish_tree(directory, version.key, marker=CARD)

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Point an alias at a version. Atomic: readers see the old or the new one. Raises: UnknownModel."""
        self.resolve(f"{name}:{version}")
        self._store.write_text(f"registry/{name}/aliases.json", json.dumps(self.aliases(name) | {alias: version}))

    def drop_alias(self, name: str, alias: str) -> None:
        kept = {key: value for key, value in self.aliases(name).items() if key != alias}
        self._store.write_text(f"registry/{name}/aliases.json", json.dumps(kept))

    def delete(self, version: Version) -> None:
        """Delete a version and its aliases. Raises: UnknownModel."""
        if version.version not in self.versions(version.name):
            raise UnknownModel(f"There is no model {version}.")
        for alias, number in self.aliases(version.name).items():
            if number == version.version:
                self.drop_alias(version.name, alias)
        self._store.delete_tree(version.key, marker=CARD)
