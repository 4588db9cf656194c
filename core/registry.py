"""The registry: fine-tuned models by name and version, in the store. There is no index that could disagree with it.

    registry/<name>/<version>/model.safetensors, card.json, report.json, report.html, predictions.jsonl, *.png
    registry/<name>/aliases/production      {"version": 3, "shadow": {"version": 4, "share": 0.1}}
    registry/<name>/aliases.json            {"production": 3}: written by earlier versions of Vireo, and only read

A version is written elsewhere and published by one rename. In a remote store its card is written last, and a version
without a card does not exist. A version never changes. `name` means the newest version, `name:3` the third,
`name@production` the version that the alias points to. Each alias is a file of its own, so two gateways that set
different aliases do not overwrite each other's.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from core.errors import Conflict, NotFound, UnknownModel
from core.storage import Store
from core.training_requests import MODEL_REF_PATTERN

CARD, WEIGHTS = "card.json", "model.safetensors"
REPORT, REPORT_PAGE, PREDICTIONS = "report.json", "report.html", "predictions.jsonl"

_REF = re.compile(r"([A-Za-z0-9][A-Za-z0-9._\-]*)(?::([0-9]+)|@([a-z0-9][a-z0-9._\-]*))?")
_CARD_KEY = re.compile(rf"registry/[^/]+/([0-9]+)/{re.escape(CARD)}")


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
    method: str = Field(description="training method; of an imported version, as its file shows")
    recipe: str | None = Field(None, description="name of the recipe; null for an imported version")
    temporal: dict[str, Any] = Field(
        description="temporal head: `kind`, and what is needed to build it (`heads`, `layers`, `positions`, "
        "`text_width`)"
    )
    classifier: dict[str, Any] = Field(description="classifier: `kind`, `text_inputs`, `templates`, `normalize_labels`")
    classes: tuple[str, ...] = Field(description="classes of the training, in the order of W's rows")
    open_labels: bool = Field(description="true: questions may have any labels; false: only `classes`")
    text: Literal["own", "base"] = Field("own", description="whether the text tower is in the file or is the base's")
    prompts: dict[str, Any] | None = Field(
        None,
        description="for a version that consists of prompts: `base`, the model that they are for, with its `digest` "
        "and `text_digest`, and the shapes of the prompts (`image`, `text`); else null",
    )
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
        "`precision`, `augment`, `repeats`; `trained_parameters`: how many numbers each role trained",
    )
    dataset: dict[str, Any] | None = Field(None, description="id, digest, name, clips per split")
    shots: dict[str, Any] | None = Field(
        None, description="K, seed, and the drawn clips by class; null without few-shot"
    )
    seeds: dict[str, int] = Field(default_factory=dict, description="`run`; `split`, where a split was made")
    metrics: dict[str, Any] = Field(
        default_factory=dict,
        description="`split` that was judged; `precision` in which the version was served to judge it; `views`: the "
        "numbers of the version; `before`: those of the base model on the same clips",
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

    @property
    def normalizes_labels(self) -> bool:
        """How labels are read by questions that do not say so themselves."""
        return bool(self.classifier.get("normalize_labels"))


class Shadow(BaseModel):
    """A version that is tried out: it scores a share of the questions to an alias, but never answers them."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    version: int = Field(description="the version that is tried out")
    share: float = Field(description="share of the questions that it scores as well, above 0 to 1")


@dataclass(frozen=True, slots=True)
class Alias:
    """What an alias means: the version that answers, and its shadow if it has one."""

    version: int
    shadow: Shadow | None = None


@dataclass(frozen=True, slots=True)
class Version:
    name: str
    version: int

    def __str__(self) -> str:
        return f"{self.name}:{self.version}"

    @property
    def key(self) -> str:
        return f"registry/{self.name}/{self.version}"


NAMES_SECONDS = 2.0
"""How long the registry of a remote store remembers what a name or an alias means. Another process may change it
meanwhile. A store in a directory is looked at each time, which costs next to nothing."""

_MOST_NAMES = 1000  # remembered at the same time


class Registry:
    """Model versions in the store. A reference with a number costs one look at the store; with a remote store, what
    another reference means is looked up once in `NAMES_SECONDS`. What this registry changes, it knows at once."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._memory = NAMES_SECONDS if store.remote else 0.0
        self._known: dict[str, tuple[float, Alias]] = {}
        """What `name` and `name@alias` mean, and until when this is believed."""

    @property
    def project(self) -> str:
        return self._store.project

    def of(self, project: str) -> Registry:
        """The registry of a project."""
        return Registry(self._store.of(project), self._clock)

    def names(self) -> list[str]:
        """Names with at least one version, sorted."""
        return sorted({key.split("/")[1] for key in self._store.find("registry") if _CARD_KEY.fullmatch(key)})

    def versions(self, name: str) -> list[int]:
        """Numbers of the published versions, ascending."""
        found = map(_CARD_KEY.fullmatch, self._store.find(f"registry/{name}"))
        return sorted(int(match[1]) for match in found if match)

    def aliases(self, name: str) -> dict[str, int]:
        """The aliases of a model and the versions that they point to, by name."""
        return {alias: found.version for alias, found in self._aliases(name).items()}

    def alias(self, name: str, alias: str) -> Alias | None:
        """What the alias means. None if there is none."""
        text = self._store.read_text(_alias_key(name, alias))
        if text is None:
            number = self._earlier_aliases(name).get(alias)
        else:
            record = json.loads(text)
            number = record["version"]
            if number is not None and record.get("shadow"):
                return Alias(number, Shadow.model_validate(record["shadow"]))
        return None if number is None else Alias(number)

    def shadow_of(self, ref: str) -> Shadow | None:
        """The shadow of the alias that `ref` names. None for another reference. Raises: UnknownModel."""
        return self._meaning(ref).shadow if "@" in ref else None

    def knows(self, ref: str) -> bool:
        """Whether the name in `ref` has any version."""
        match = _REF.fullmatch(ref)
        return match is not None and bool(self.versions(match[1]))

    def resolve(self, ref: str) -> Version:
        """Raises: UnknownModel."""
        version = self._locate(ref)
        if self._store.exists(f"{version.key}/{CARD}"):
            return version
        if self._known.pop(ref, None):  # what was remembered has been deleted
            return self.resolve(ref)
        raise self._missing(version)

    def resolve_card(self, ref: str) -> Card:
        """The card of the version that `ref` means. Raises: UnknownModel."""
        try:
            return self.card(self._locate(ref))
        except UnknownModel:
            if self._known.pop(ref, None):
                return self.resolve_card(ref)
            raise

    def card(self, version: Version) -> Card:
        """Raises: UnknownModel where the version has been deleted."""
        text = self._store.read_text(f"{version.key}/{CARD}")
        if text is None:
            raise self._missing(version)
        return Card.model_validate_json(text)

    def prompts_for(self, ref: str) -> list[Version]:
        """The versions that consist of prompts for the version `ref`."""
        everything = (Version(name, number) for name in self.names() for number in self.versions(name))
        return [each for each in everything if (self.card(each).prompts or {}).get("base") == ref]

    @contextmanager
    def directory(self, version: Version) -> Iterator[Path]:
        """The directory of a version on this machine. From a remote store it is copied, and the copy stays until the
        block ends. Raises: UnknownModel."""
        with ExitStack() as copy:
            try:
                directory = copy.enter_context(self._store.local_tree(version.key, marker=CARD))
            except FileNotFoundError:
                raise self._missing(version) from None
            yield directory

    @contextmanager
    def file(self, version: Version, name: str) -> Iterator[Path]:
        """A file of a version on this machine, as `directory`. Raises: NotFound."""
        with ExitStack() as copy:
            try:
                path = copy.enter_context(self._store.local_file(f"{version.key}/{name}"))
            except FileNotFoundError:
                raise NotFound(f"{version} has no file {name!r}.") from None
            yield path

    def publish(self, directory: Path, version: Version) -> None:
        """Make a finished directory visible as `version`, completely or not at all.

        A version never changes: the one that an earlier attempt of the same job has published stays. Raises: Conflict
        where another job has published this version.
        """
        try:
            self._store.publish_tree(directory, version.key, marker=CARD)
        except Conflict as error:
            job = Card.model_validate_json((directory / CARD).read_text(encoding="utf-8")).job
            if job is None or self.card(version).job != job:
                raise Conflict(
                    f"Another job has published {version}.",
                    hint="Try again: the job gets another number. Two installations should not share one store.",
                ) from error
        self._known.pop(version.name, None)

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Point an alias at a version. Atomic: readers see the old or the new one. Its shadow stays, unless it is this
        version. Raises: UnknownModel."""
        self.resolve(f"{name}:{version}")
        before = self.alias(name, alias)
        shadow = before.shadow if before and before.shadow and before.shadow.version != version else None
        self._write_alias(name, alias, Alias(version, shadow))

    def set_shadow(self, name: str, alias: str, shadow: Shadow | None) -> None:
        """Give an alias a shadow, or take it away. Raises: UnknownModel, NotFound if there is no such
        version or alias."""
        if shadow is not None:
            self.resolve(f"{name}:{shadow.version}")
        found = self.alias(name, alias)
        if found is None:
            raise NotFound(f"{name} has no alias {alias[:80]!r}.")
        self._write_alias(name, alias, Alias(found.version, shadow))

    def drop_alias(self, name: str, alias: str) -> None:
        if alias in self._earlier_aliases(name):
            self._write_alias(name, alias, None)  # the earlier file is left alone: others may read it at this moment
        else:
            self._store.delete(_alias_key(name, alias))
        self._known.pop(f"{name}@{alias}", None)

    def delete(self, version: Version) -> None:
        """Delete a version, its aliases, and what it is the shadow of; with the last version, all aliases. Raises:
        UnknownModel."""
        if version.version not in self.versions(version.name):
            raise self._missing(version)
        self._store.delete_tree(version.key, marker=CARD)
        self._known.pop(version.name, None)
        for alias, found in self._aliases(version.name).items():
            if found.version == version.version:
                self.drop_alias(version.name, alias)
            elif found.shadow and found.shadow.version == version.version:
                self.set_shadow(version.name, alias, None)
        if not self.versions(version.name):
            for alias in self._store.children(f"registry/{version.name}/aliases"):
                self._store.delete(_alias_key(version.name, alias))
            self._store.delete(f"registry/{version.name}/aliases.json")

    def _locate(self, ref: str) -> Version:
        """What `ref` means. A number is not looked up. Raises: UnknownModel."""
        match = _REF.fullmatch(ref)
        if match is None or not re.match(MODEL_REF_PATTERN, ref):
            raise UnknownModel(
                f"{ref[:80]!r} is not a valid model name.", hint="Write name, name:version or name@alias."
            )
        name, number, _ = match.groups()
        if number is not None:
            return Version(name, int(number))
        return Version(name, self._meaning(ref).version)

    def _meaning(self, ref: str) -> Alias:
        """What `name` or `name@alias` means. Raises: UnknownModel."""
        name, _, alias = ref.partition("@")
        until, known = self._known.get(ref, (0.0, Alias(0)))
        if self._clock() >= until:
            known = self._aliased(name, alias) if alias else Alias(self._newest(name))
            if len(self._known) >= _MOST_NAMES:
                self._known.clear()
            self._known[ref] = (self._clock() + self._memory, known)
        return known

    def _newest(self, name: str) -> int:
        versions = self.versions(name)
        if not versions:
            raise _no_model(name)
        return versions[-1]

    def _aliased(self, name: str, alias: str) -> Alias:
        if found := self.alias(name, alias):
            return found
        if not self.versions(name):
            raise _no_model(name)
        raise UnknownModel(
            f"{name} has no alias {alias!r}.", hint=f"It has: {', '.join(self.aliases(name)) or 'none'}."
        )

    def _missing(self, version: Version) -> UnknownModel:
        versions = self.versions(version.name)
        if not versions:
            return _no_model(version.name)
        return UnknownModel(
            f"{version.name} has no version {version.version}.", hint=f"It has: {', '.join(map(str, versions))}."
        )

    def _aliases(self, name: str) -> dict[str, Alias]:
        names = {*self._earlier_aliases(name), *self._store.children(f"registry/{name}/aliases")}
        return {alias: found for alias in sorted(names) if (found := self.alias(name, alias))}

    def _write_alias(self, name: str, alias: str, meaning: Alias | None) -> None:
        record: dict[str, Any] = {"version": meaning and meaning.version}
        if meaning and meaning.shadow:
            record["shadow"] = meaning.shadow.model_dump()
        self._store.write_text(_alias_key(name, alias), json.dumps(record))
        self._known.pop(f"{name}@{alias}", None)

    def _earlier_aliases(self, name: str) -> dict[str, int]:
        text = self._store.read_text(f"registry/{name}/aliases.json")
        return dict(json.loads(text)) if text else {}


def _alias_key(name: str, alias: str) -> str:
    return f"registry/{name}/aliases/{alias}"


def _no_model(name: str) -> UnknownModel:
    return UnknownModel(f"There is no model {name!r}.", hint="GET /v1/models lists the models.")
