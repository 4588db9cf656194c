"""Micro-batches on the device: frames that are decoded ahead, or a frozen trunk's answers that were kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from models.image.pixels import normalised
from models.profiles.profile import Profile
from models.recognition.video_model import VideoModel
from worker.decoding.dataset_clips import ClipReader, Sample
from worker.training.run.order import Pick

KEPT_BYTES = 2 << 30  # of a trunk's answers; above it they are computed in every epoch


@dataclass(frozen=True, slots=True)
class MicroBatch:
    x: Tensor  # pixels [B, T, 3, S, S], or what the trunk made of them [B, T, …]
    targets: Tensor  # int64 [B]
    weights: Tensor  # float32 [B], 0 for a clip that does not count


class Feed(Protocol):
    from_trunk: bool  # whether it gives what the trunk made of the pixels

    def stream(self, plan: Iterable[Sequence[Pick]]) -> Iterator[MicroBatch]: ...


class FrameFeed:
    """Decodes while the caller computes. A clip that cannot be decoded has no weight, and nothing takes its place."""

    from_trunk = False

    def __init__(self, reader: ClipReader, samples: Sequence[Sample], profile: Profile, device: torch.device) -> None:
        self._reader, self._samples, self._profile, self._device = reader, samples, profile, device

    def stream(self, plan: Iterable[Sequence[Pick]]) -> Iterator[MicroBatch]:
        kept: list[Sequence[Pick]] = []

        def wanted() -> Iterator[list[Sample]]:
            for picks in plan:
                kept.append(picks)
                yield [
                    Sample(self._samples[pick.clip].path, self._samples[pick.clip].label, pick.seed) for pick in picks
                ]

        for batch in self._reader.batches(wanted()):
            picks = kept.pop(0)
            frames = torch.from_numpy(batch.frames)  # uint8 [B, T, S, S, 3]
            if not len(frames):  # still a step, for the sake of the other processes
                yield self._nothing()
                continue
            pixels = normalised(frames.flatten(0, 1), self._profile, self._device)  # [B·T, 3, S, S]
            weights = [picks[int(place)].weight for place in batch.positions]
            yield MicroBatch(
                pixels.view(*frames.shape[:2], *pixels.shape[1:]),  # [B, T, 3, S, S]
                torch.from_numpy(batch.labels).to(self._device),
                torch.tensor(weights, device=self._device),
            )

    def _nothing(self) -> MicroBatch:
        size = self._profile.size
        x = torch.zeros(1, self._profile.frames, 3, size, size, device=self._device)
        return MicroBatch(
            x, torch.zeros(1, dtype=torch.int64, device=self._device), torch.zeros(1, device=self._device)
        )


class TrunkFeed:
    """For a frozen trunk that always sees the same pixels: it is run once."""

    from_trunk = True

    def __init__(self, x: Tensor, labels: Tensor, places: Sequence[int | None]) -> None:
        """x: [n, T, …]; labels: int64 [n]; places: of each train clip in x, None where it could not be decoded."""
        self._x, self._labels, self._places = x, labels, places

    def part(self, clips: Sequence[int], labels: Sequence[int]) -> TrunkFeed:
        """Some of the train clips, under other labels, without another copy of what is kept."""
        places = [self._places[clip] for clip in clips]
        own = self._labels.clone()
        for place, label in zip(places, labels, strict=True):
            if place is not None:
                own[place] = label
        return TrunkFeed(self._x, own, places)

    def stream(self, plan: Iterable[Sequence[Pick]]) -> Iterator[MicroBatch]:
        for picks in plan:
            found = [(self._places[pick.clip], pick.weight) for pick in picks]
            at = torch.tensor([0 if place is None else place for place, _ in found], device=self._x.device)
            weights = torch.tensor([0.0 if place is None else weight for place, weight in found])
            yield MicroBatch(self._x[at], self._labels[at], weights.to(self._x.device))


@torch.no_grad()
def keep_trunk(
    model: VideoModel, reader: ClipReader, samples: Sequence[Sample], profile: Profile, device: torch.device, micro: int
) -> TrunkFeed:
    """Run the trunk over every clip once."""
    groups = [samples[at : at + micro] for at in range(0, len(samples), micro)]
    kept: list[Tensor] = []
    labels: list[int] = []
    places: list[int | None] = [None] * len(samples)
    for start, batch in zip(range(0, len(samples), micro), reader.batches(groups), strict=True):
        if not len(batch.positions):
            continue
        for place, label in zip(batch.positions.tolist(), batch.labels.tolist(), strict=True):
            places[start + place] = len(labels)
            labels.append(label)
        frames = torch.from_numpy(batch.frames)  # uint8 [B, T, S, S, 3]
        pixels = normalised(frames.flatten(0, 1), profile, device)  # [B·T, 3, S, S]
        kept.append(model.trunk(pixels.view(*frames.shape[:2], *pixels.shape[1:])))  # [B, T, …]
    return TrunkFeed(torch.cat(kept), torch.tensor(labels, device=device), places)
