"""Micro-batches on the device: frames that are decoded ahead, or the precomputed outputs of a frozen trunk."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from core.errors import TrainingFailed
from models.frames.arrays import IntArray, UInt8Array
from models.image.pixels import normalised
from models.profiles.profile import Profile
from models.recognition.video_model import VideoModel
from worker.decoding.dataset_clips import Batch, ClipReader, Sample
from worker.training.features.trunk import TrunkFiles
from worker.training.run.order import Pick

MAX_TRUNK_BYTES = 2 << 30  # of precomputed trunk outputs; above it they are computed in every epoch


@dataclass(frozen=True, slots=True)
class MicroBatch:
    x: Tensor  # pixels [B, T, 3, S, S], or the trunk's outputs for them [B, T, …]
    targets: Tensor  # int64 [B]
    weights: Tensor  # float32 [B]; 0 for a clip that must not count
    others: Tensor | None = None  # int64 [B], targets of the clips that they are mixed with
    shares: Tensor | None = None  # float32 [B], of each clip itself


class Feed(Protocol):
    from_trunk: bool  # whether `x` holds outputs of the trunk instead of pixels

    def stream(self, plan: Iterable[Sequence[Pick]]) -> Iterator[MicroBatch]: ...


def no_clip_decoded(clips: int) -> TrainingFailed:
    """clips: how many there are to train on."""
    return TrainingFailed(
        f"None of the {clips} clips to train on could be decoded.",
        hint="Upload the dataset again: its report says why a clip cannot be decoded.",
    )


class FrameFeed:
    """Decodes while the caller computes. A clip that cannot be decoded is left out, and no other clip replaces it. The
    loop notices if all are left out."""

    from_trunk = False

    def __init__(self, reader: ClipReader, samples: Sequence[Sample], profile: Profile, device: torch.device) -> None:
        self._reader, self._samples, self._profile, self._device = reader, samples, profile, device

    def stream(self, plan: Iterable[Sequence[Pick]]) -> Iterator[MicroBatch]:
        pending: deque[Sequence[Pick]] = deque()  # planned ahead of what is decoded

        def groups() -> Iterator[list[Sample]]:
            for picks in plan:
                pending.append(picks)
                wanted = [(pick.clip, pick.seed) for pick in picks]
                yield [
                    Sample(self._samples[clip].path, self._samples[clip].label, seed)
                    for clip, seed in wanted + _partners(picks)
                ]

        for batch in self._reader.batches(groups()):
            picks = pending.popleft()
            if not len(batch.frames):  # still a step: the other processes wait for this one's gradients
                yield self._empty()
                continue
            pixels = _pixels(batch.frames, self._profile, self._device)  # [B, T, 3, S, S], and those of partners
            own = [(row, int(place)) for row, place in enumerate(batch.positions) if place < len(picks)]
            if not own:
                yield self._empty()
                continue
            rows = [row for row, _ in own]
            weights = [picks[place].weight for _, place in own]
            made = MicroBatch(
                pixels[: len(rows)],  # partners come after them
                torch.from_numpy(batch.labels[rows]).to(self._device),
                torch.tensor(weights, device=self._device),
            )
            chosen = [picks[place] for _, place in own]
            yield (
                mixed(made, chosen, _row_of(batch, picks), pixels, batch.labels)
                if any(pick.mix for pick in chosen)
                else made
            )

    def _empty(self) -> MicroBatch:
        """One clip of zeros, without weight."""
        size = self._profile.size
        x = torch.zeros(1, self._profile.frames, 3, size, size, device=self._device)
        return MicroBatch(
            x, torch.zeros(1, dtype=torch.int64, device=self._device), torch.zeros(1, device=self._device)
        )


def mixed(
    batch: MicroBatch,
    picks: Sequence[Pick],
    row_of: Mapping[tuple[int, int], int],
    pixels: Tensor,
    labels: IntArray,
) -> MicroBatch:
    """Mix each clip with its partner. One whose partner could not be decoded stays as it is.

    picks: those of the batch; row_of: clip and seed → row of `pixels` [n, T, 3, S, S] and `labels` [n].
    """
    x, others, shares = batch.x.clone(), batch.targets.clone(), torch.ones_like(batch.weights)
    for place, pick in enumerate(picks):
        row = None if pick.partner is None else row_of.get(pick.partner)
        if row is None or pick.mix is None:
            continue
        if pick.mix.box is None:
            x[place] = pick.mix.share * x[place] + (1 - pick.mix.share) * pixels[row]
        else:
            left, top, right, bottom = pick.mix.box
            x[place, ..., top:bottom, left:right] = pixels[row, ..., top:bottom, left:right]
        others[place], shares[place] = int(labels[row]), pick.mix.share
    return replace(batch, x=x, others=others, shares=shares)


def _partners(picks: Sequence[Pick]) -> list[tuple[int, int]]:
    """Clip and seed of the partners that are not among the picks themselves."""
    own = {(pick.clip, pick.seed) for pick in picks}
    return [pick.partner for pick in picks if pick.partner is not None and pick.partner not in own]


def _row_of(batch: Batch, picks: Sequence[Pick]) -> dict[tuple[int, int], int]:
    wanted = [(pick.clip, pick.seed) for pick in picks] + _partners(picks)
    return {wanted[int(place)]: row for row, place in enumerate(batch.positions)}


class TrunkFeed:
    """Precomputed outputs of a frozen trunk that always sees the same pixels."""

    from_trunk = True

    def __init__(self, x: Tensor, labels: Tensor, places: Sequence[int | None]) -> None:
        """x: [n, T, …]; labels: int64 [n]; places: index of each train clip in x, None for a clip that cannot be
        decoded."""
        self._x, self._labels, self._places = x, labels, places

    def subset(self, clips: Sequence[int], labels: Sequence[int]) -> TrunkFeed:
        """Some of the train clips, under other labels. The outputs themselves are not copied."""
        places = [self._places[clip] for clip in clips]
        own = self._labels.clone()
        for place, label in zip(places, labels, strict=True):
            if place is not None:
                own[place] = label
        return TrunkFeed(self._x, own, places)

    def kept(self, together: int) -> Iterator[tuple[Tensor, Tensor, list[int]]]:
        """Every clip that could be decoded, in groups: x [B, T, …], labels int64 [B], and their places among all."""
        found = [(clip, place) for clip, place in enumerate(self._places) if place is not None]
        for start in range(0, len(found), together):
            group = found[start : start + together]
            at = torch.tensor([place for _, place in group], device=self._x.device)
            yield self._x[at], self._labels[at], [clip for clip, _ in group]

    def stream(self, plan: Iterable[Sequence[Pick]]) -> Iterator[MicroBatch]:
        for picks in plan:
            found = [(self._places[pick.clip], pick.weight) for pick in picks]
            at = torch.tensor([0 if place is None else place for place, _ in found], device=self._x.device)
            weights = torch.tensor([0.0 if place is None else weight for place, weight in found])
            yield MicroBatch(self._x[at], self._labels[at], weights.to(self._x.device))


@torch.no_grad()
def precompute_trunk(
    model: VideoModel,
    reader: ClipReader,
    samples: Sequence[Sample],
    profile: Profile,
    device: torch.device,
    files: TrunkFiles | None = None,
) -> TrunkFeed:
    """What the trunk makes of every clip. files: where outputs may be already, and are kept. Raises: TrainingFailed if
    no clip can be decoded."""
    outputs = {place: x for x, place in trunk_outputs(model, reader, samples, profile, device, files)}  # each [T, …]
    if not outputs:
        raise no_clip_decoded(len(samples))
    places: list[int | None] = [None] * len(samples)
    for row, place in enumerate(outputs):
        places[place] = row
    labels = torch.tensor([samples[place].label for place in outputs], dtype=torch.int64, device=device)
    return TrunkFeed(torch.stack(list(outputs.values())), labels, places)


def trunk_outputs(
    model: VideoModel,
    reader: ClipReader,
    samples: Sequence[Sample],
    profile: Profile,
    device: torch.device,
    files: TrunkFiles | None = None,
) -> Iterator[tuple[Tensor, int]]:
    """What the trunk makes of each clip that can be decoded, x [T, …], and the clip's place among the samples: first
    those that are in `files`, then the others, each encoded by itself. The caller turns gradients off."""
    missing: list[int] = []
    for place, sample in enumerate(samples):
        kept = None if files is None else files.read(sample.path)
        if kept is None:
            missing.append(place)
        else:
            yield kept.to(device), place
    for place, batch in zip(missing, reader.batches([samples[place]] for place in missing), strict=True):
        if len(batch.positions):
            x = model.trunk(_pixels(batch.frames, profile, device))[0]  # [T, …]
            if files is not None:
                files.write(samples[place].path, x)
            yield x, place


def _pixels(frames: UInt8Array, profile: Profile, device: torch.device) -> Tensor:
    """uint8 [B, T, S, S, 3] → normalised pixels [B, T, 3, S, S]."""
    flat = normalised(torch.from_numpy(frames).flatten(0, 1), profile, device)  # [B·T, 3, S, S]
    return flat.view(*frames.shape[:2], *flat.shape[1:])  # [B, T, 3, S, S]
