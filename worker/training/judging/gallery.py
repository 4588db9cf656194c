"""Labelled clips to score a model on. Each process of a run has a share of them, and gets the vectors of all.

Clips are encoded in one of three ways. As served (`vectors`): each clip by itself, as a request of its own would be;
reports use nothing else. Together (`quick_vectors`): several clips in one forward pass, for the learning curve. From
the trunk (`trunk_vectors`): with what a frozen trunk made of the clips when it saw them for the first time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from core.datasets import Item
from core.vocabulary import Aggregate, Fusion
from models.frames.arrays import IntArray, UInt8Array
from models.frames.sampling import Views
from models.image.tower import ImageTower
from models.recognition.recognizer import Recognizer
from models.recognition.scoring import score
from models.recognition.video_encoder import VideoEncoder
from worker.decoding.dataset_clips import ClipReader, Sample
from worker.training.features.files import FeatureFiles
from worker.training.features.trunk import TrunkFiles
from worker.training.judging.kept import FrameFile, FromTrunk, KeptTrunk, after_trunk, tower_of, trunk_of_clip
from worker.training.judging.scored import Embedded, Scored
from worker.training.run.division import samples_of
from worker.training.run.encoding import encode_together, encode_videos
from worker.training.run.parts import SINGLE_VIEW, TrainingRun
from worker.training.run.stop import Stop
from worker.training.run.world import World

MOST_EMBEDDED = 500  # clips whose vectors are kept to be drawn

Vectors = tuple[list[int], Tensor]
"""Indices of the clips that could be decoded, and their vectors, float32 [n, V, d] on the CPU."""


@dataclass(slots=True, kw_only=True)
class Gallery:
    """`items` and their class indices. A clip that cannot be decoded is left out, and listed in `reader.skipped`.

    most: frames in one forward pass. frames: where the decoded single views are kept, None if they are needed once.
    features: where outputs of trunks are kept from run to run, None for nowhere.
    Methods that give vectors must be called by all processes of the run; they raise Stopped.
    """

    reader: ClipReader
    items: Sequence[Item]
    samples: Sequence[Sample]
    most: int
    stop: Stop
    world: World
    frames: FrameFile | None = None
    features: FeatureFiles | None = None
    trunk: KeptTrunk | None = None  # of this process's share

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def share(self) -> range:
        """Indices of the clips that this process encodes."""
        return range(self.world.rank, len(self.samples), self.world.size)

    def vectors(self, encoder: VideoEncoder, views: Views = SINGLE_VIEW) -> Vectors:
        """Each clip as a request of its own."""
        tower = tower_of(encoder)
        if tower is None or views.count > 1 or self.features is None:
            return self._gathered(*encode_videos(self._decoded(views), encoder, views, self.most, self.stop))
        rest = after_trunk(encoder, self.most)
        found = [(index, rest(x[None])) for index, x in self._trunk_outputs(encoder, tower)]  # each [1, d]
        return self._gathered([index for index, _ in found], torch.stack([own for _, own in found]) if found else None)

    def vectors_and_trunk(self, recognizer: Recognizer) -> Vectors:
        """`vectors` by a model with a frozen trunk, whose outputs are kept for `trunk_vectors`."""
        tower = tower_of(recognizer)
        assert tower is not None
        found = dict(sorted(self._trunk_outputs(recognizer, tower)))
        x = torch.stack(list(found.values())) if found else torch.empty(0)  # [n, T, …]
        self.trunk = KeptTrunk(list(found), x)
        return self.trunk_vectors(after_trunk(recognizer, self.most), 1)

    def quick_vectors(self, encoder: VideoEncoder, together: int) -> Vectors:
        """`together`: clips in one forward pass."""
        return self._gathered(*encode_together(self._decoded(SINGLE_VIEW), encoder, together, self.stop))

    def trunk_vectors(self, rest: FromTrunk, together: int) -> Vectors:
        """`together`: clips in one pass of the rest of the model. The trunk must have been kept."""
        assert self.trunk is not None
        x = self.trunk.x
        found: list[Tensor] = []
        for start in range(0, len(x), together):
            self.stop.check()
            found.append(rest(x[start : start + together]).unsqueeze(1))  # [B, 1, d]
        return self._gathered(self.trunk.indices, torch.cat(found) if found else None)

    def score(
        self,
        indices: Sequence[int],
        vectors: Tensor,
        rows: Tensor,
        scale: float,
        aggregate: Aggregate,
        fusion: Fusion,
        labels: Sequence[int] | None = None,
    ) -> Scored:
        """vectors: [n, V, d]; rows: unit [C, d]; scale: exp(s); labels: of the clips among these rows, if they are not
        the gallery's own."""
        rows = rows.detach().float().cpu()
        own = [self.samples[index].label for index in indices] if labels is None else labels
        found = [score(views, rows, scale, aggregate, fusion).probabilities.numpy() for views in vectors]  # each [C]
        ids, known = [self.items[index].path for index in indices], np.array(own, np.int64)
        return Scored(
            ids,
            known,
            np.stack(found) if found else np.empty((0, len(rows)), np.float32),  # [n, C]
            _embedded(ids, known, vectors) if found else None,
        )

    def _trunk_outputs(self, encoder: VideoEncoder, tower: ImageTower) -> Iterator[tuple[int, Tensor]]:
        """What the trunk makes of each clip of this process's share: index and [T, …] on the CPU."""
        reading = self.reader.digest, encoder.profile.vision_digest(), self.most
        files = TrunkFiles.of(self.features, tower, "served", encoder.device, *reading)
        missing: list[int] = []
        for index in self.share:
            kept = None if files is None else files.read(self.samples[index].path)
            if kept is None:
                missing.append(index)
            else:
                yield index, kept
        for index, frames in self._decoded(SINGLE_VIEW, missing):
            self.stop.check()
            x = trunk_of_clip(encoder, tower, frames[0], self.most)  # [T, …]
            if files is not None:
                files.write(self.samples[index].path, x)
            yield index, x

    def _decoded(self, views: Views, indices: Sequence[int] | None = None) -> Iterator[tuple[int, UInt8Array]]:
        """indices: None for this process's share → (index, uint8 [V, T, S, S, 3])."""
        chosen = self.share if indices is None else indices
        read = self.reader.views([self.samples[index] for index in chosen], views)
        decoded = ((chosen[place], frames) for place, frames in read)
        whole = views.count == 1 and len(chosen) == len(self.share)
        return self.frames.through(decoded, len(chosen)) if self.frames is not None and whole else decoded

    def _gathered(self, indices: list[int], own: Tensor | None) -> Vectors:
        """own: [n, V, d] of this process's clips, None if there are none → those of all processes, in the clips'
        order."""
        shares = self.world.gather((indices, own, self.reader.skipped))
        for _, _, skipped in shares:
            self.reader.skipped.update(skipped)
        everything = [index for found, _, _ in shares for index in found]
        parts = [part for _, part, _ in shares if part is not None]
        order = sorted(range(len(everything)), key=everything.__getitem__)
        vectors = torch.cat(parts)[order] if parts else torch.empty(0, 1, 1)  # [n, V, d]
        return [everything[place] for place in order], vectors


def _embedded(ids: Sequence[str], labels: IntArray, vectors: Tensor) -> Embedded:
    """Of at most `MOST_EMBEDDED` clips, at equal distances. vectors: [n, V, d]."""
    count = len(ids)
    places = np.unique(np.linspace(0, count - 1, min(count, MOST_EMBEDDED)).round().astype(np.int64))
    unit = normalize(vectors[torch.from_numpy(places)].float().mean(dim=1), dim=-1)  # [m, d]
    return Embedded([ids[place] for place in places], labels[places], unit.numpy())


@dataclass(frozen=True, slots=True)
class Galleries:
    """The galleries of a run."""

    judged: Gallery  # for the report
    val: Gallery  # for the learning curve; often the same clips
    unseen: Gallery  # of the classes left out of training


def open_galleries(run: TrainingRun, *, as_base: bool = False) -> Galleries:
    """Nothing is decoded yet. as_base: for clips as the base model reads them, which are looked at once."""
    profile, world, scratch = run.profile, run.world, run.spec.scratch

    def gallery(name: str, items: tuple[Item, ...], classes: tuple[str, ...], *, keep: bool = True) -> Gallery:
        clip = profile.frames, profile.size, profile.size, 3
        return Gallery(
            reader=run.base_reader if as_base else run.reader,
            items=items,
            samples=samples_of(items, classes, run.spec.clips),
            most=run.spec.settings.batch_frames,
            stop=run.stop,
            world=world,
            frames=FrameFile(scratch / f"{name}-{world.rank}.frames", clip) if keep and not as_base else None,
            features=run.features,
        )

    division = run.division
    judged = gallery("judged", division.judged, division.classes)
    # Clips of a frozen trunk are looked at once.
    looks = not run.keeps_trunk(len(division.val))
    return Galleries(
        judged=judged,
        val=judged if division.val == division.judged else gallery("val", division.val, division.classes, keep=looks),
        unseen=gallery("unseen", division.unseen, division.novel),
    )


def score_served(
    recognizer: Recognizer,
    gallery: Gallery,
    rows: Tensor,
    views: Views = SINGLE_VIEW,
    aggregate: Aggregate | None = None,
) -> Scored:
    """The scores that requests get from a recogniser. rows: unit [C, d]; aggregate: None for the recogniser's own.
    Raises: Stopped."""
    indices, vectors = gallery.vectors(recognizer, views)  # [n, V, d]
    profile = recognizer.profile
    aggregate = aggregate or profile.aggregate
    return gallery.score(indices, vectors, rows, recognizer.logit_scale, aggregate, profile.fusion)


def score_trained(run: TrainingRun, gallery: Gallery) -> Scored:
    """Score a run's gallery by its model and W, as trained so far, in the precision of the run: for the learning curve.
    Raises: Stopped."""
    together = max(run.config.micro, gallery.most // run.config.frames)
    with run.encoder(run.model) as encoder:
        if gallery.trunk is None:
            indices, vectors = gallery.quick_vectors(encoder, together)  # [n, 1, d]
        else:
            indices, vectors = gallery.trunk_vectors(_rest_of(run), together)  # [n, 1, d]
    return gallery.score(indices, vectors, run.classifier.rows(), run.scale, run.profile.aggregate, run.profile.fusion)


def _rest_of(run: TrainingRun) -> FromTrunk:
    """In fp32: it is a small part of the work."""

    @torch.inference_mode()
    def rest(x: Tensor) -> Tensor:
        return run.model.from_trunk(x.to(run.device).float()).cpu()  # [B, T, …] → [B, d]

    return rest
