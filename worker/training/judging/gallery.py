"""Labelled clips to score a model on: decoded once if memory allows, and turned into video vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from core.datasets import Item
from core.vocabulary import Aggregate
from models.frames.arrays import UInt8Array
from models.frames.sampling import Views
from models.profiles.profile import Profile
from models.recognition.recognizer import Recognizer
from models.recognition.scoring import score
from models.recognition.video_encoder import VideoEncoder
from worker.decoding.dataset_clips import ClipReader, Sample
from worker.training.judging.scored import Scored
from worker.training.run.division import samples_of
from worker.training.run.encoding import encode_videos
from worker.training.run.parts import SINGLE_VIEW, TrainingRun
from worker.training.run.stop import Stop

MAX_GALLERY_BYTES = 1 << 30  # of frames kept in memory; a larger gallery is decoded anew each time it is scored


class Gallery:
    """`items` and their class indices. A clip that cannot be decoded is left out, and listed in `reader.skipped`."""

    def __init__(
        self,
        reader: ClipReader,
        items: Sequence[Item],
        samples: Sequence[Sample],
        profile: Profile,
        most: int,
        stop: Stop,
    ) -> None:
        """most: frames in one forward pass."""
        self._reader, self._items, self._samples = reader, items, samples
        self._profile, self._most, self._stop = profile, most, stop
        self._frames: dict[str, list[tuple[int, UInt8Array]]] = {}

    def __len__(self) -> int:
        return len(self._samples)

    def vectors(self, encoder: VideoEncoder, views: Views) -> tuple[list[int], Tensor]:
        """Indices of the clips that could be decoded, and their vectors, float32 [n, V, d] on the CPU. Raises:
        Stopped."""
        return encode_videos(self._decoded(views), encoder, views, self._most, self._stop)

    def score(
        self,
        indices: Sequence[int],
        vectors: Tensor,
        rows: Tensor,
        scale: float,
        aggregate: Aggregate,
        labels: Sequence[int] | None = None,
    ) -> Scored:
        """vectors: [n, V, d]; rows: unit [C, d]; scale: exp(s); labels: of the clips among these rows, if they are not
        the gallery's own."""
        rows = rows.detach().float().cpu()
        own = [self._samples[index].label for index in indices] if labels is None else labels
        found = [score(views, rows, scale, aggregate).probabilities.numpy() for views in vectors]  # each [C]
        return Scored(
            [self._items[index].path for index in indices],
            np.array(own, np.int64),
            np.stack(found) if found else np.empty((0, len(rows)), np.float32),  # [n, C]
        )

    def _decoded(self, views: Views) -> Iterator[tuple[int, UInt8Array]]:
        """(index, uint8 [V, T, S, S, 3])."""
        name = str(views)
        if name in self._frames:
            yield from self._frames[name]
            return
        size = self._profile.size
        keep = len(self) * views.count * self._profile.frames * size * size * 3 <= MAX_GALLERY_BYTES
        decoded: list[tuple[int, UInt8Array]] = []
        for index, frames in self._reader.views(self._samples, views):
            if keep:
                decoded.append((index, frames))
            yield index, frames
        if keep:
            self._frames[name] = decoded


@dataclass(frozen=True, slots=True)
class Galleries:
    """The galleries of a run."""

    judged: Gallery  # for the report
    val: Gallery  # for the learning curve; often the same clips
    unseen: Gallery  # of the classes left out of training


def open_galleries(run: TrainingRun) -> Galleries:
    """Nothing is decoded yet."""

    def gallery(items: tuple[Item, ...], classes: tuple[str, ...]) -> Gallery:
        samples = samples_of(items, classes, run.spec.clips)
        return Gallery(run.reader, items, samples, run.profile, run.spec.settings.batch_frames, run.stop)

    division = run.division
    judged = gallery(division.judged, division.classes)
    return Galleries(
        judged=judged,
        val=judged if division.val == division.judged else gallery(division.val, division.classes),
        unseen=gallery(division.unseen, division.novel),
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
    return gallery.score(indices, vectors, rows, recognizer.logit_scale, aggregate or recognizer.profile.aggregate)


def score_trained(run: TrainingRun, gallery: Gallery) -> Scored:
    """Score a run's gallery by its model and W, as trained so far, in the precision of the run: for the learning curve.
    Raises: Stopped."""
    with run.encoder(run.model) as encoder:
        indices, vectors = gallery.vectors(encoder, SINGLE_VIEW)  # [n, 1, d]
    return gallery.score(indices, vectors, run.classifier.rows(), run.scale, run.profile.aggregate)
