"""Clips to be judged on: decoded as evaluation looks, once where memory allows, and turned into video vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

import numpy as np
import torch
from torch import Tensor

from core.datasets import Item
from core.vocabulary import Aggregate
from models.frames.arrays import UInt8Array
from models.frames.sampling import Views
from models.image.pixels import normalised
from models.profiles.profile import Profile
from models.recognition.scoring import score
from models.recognition.video_model import VideoModel
from worker.decoding.dataset_clips import ClipReader, Sample
from worker.training.judging.measures import Scored
from worker.training.run.stop import Stop

KEPT_BYTES = 1 << 30  # of frames; above it they are decoded anew for each look


class Gallery:
    """`items` and their class indices; what cannot be decoded is left out, and stands in `reader.skipped`."""

    def __init__(
        self,
        reader: ClipReader,
        items: Sequence[Item],
        samples: Sequence[Sample],
        profile: Profile,
        device: torch.device,
        stop: Stop,
    ) -> None:
        self._reader, self._items, self._samples = reader, items, samples
        self._profile, self._device, self._stop = profile, device, stop
        self._kept: dict[str, list[tuple[int, UInt8Array]]] = {}

    def __len__(self) -> int:
        return len(self._samples)

    @torch.no_grad()
    def vectors(
        self, model: VideoModel, views: Views, together: int, autocast: Callable[[], AbstractContextManager[object]]
    ) -> tuple[list[int], Tensor]:
        """Places of the clips that could be decoded, and their vectors, float32 [n, V, d] on the CPU.

        `together`: views in one forward pass. Raises: Stopped.
        """
        was_training = model.training
        model.eval()
        places: list[int] = []
        vectors: list[Tensor] = []
        for place, frames in self._frames(views):
            self._stop.check()
            pixels = normalised(torch.from_numpy(frames).flatten(0, 1), self._profile, self._device)  # [V·T, 3, S, S]
            clips = pixels.view(*frames.shape[:2], *pixels.shape[1:])  # [V, T, 3, S, S]
            with autocast():
                seen = torch.cat([model(part) for part in torch.split(clips, together)])  # [V, d]
            places.append(place)
            vectors.append(seen.float().cpu())
        model.train(was_training)
        return places, torch.stack(vectors) if vectors else torch.empty(0, views.count, 0)  # [n, V, d]

    def scored(
        self,
        places: Sequence[int],
        vectors: Tensor,
        rows: Tensor,
        scale: float,
        aggregate: Aggregate,
        labels: Sequence[int] | None = None,
    ) -> Scored:
        """vectors: [n, V, d]; rows: unit [C, d]; scale: exp(s); labels: of the clips among these rows, where they are
        other than the gallery's own."""
        rows = rows.detach().float().cpu()
        own = [self._samples[place].label for place in places] if labels is None else labels
        found = [score(views, rows, scale, aggregate).probabilities.numpy() for views in vectors]  # each [C]
        return Scored(
            [self._items[place].path for place in places],
            np.array(own, np.int64),
            np.stack(found) if found else np.empty((0, len(rows)), np.float32),  # [n, C]
        )

    def labels(self, places: Sequence[int]) -> Tensor:
        """int64 [n]."""
        return torch.tensor([self._samples[place].label for place in places], dtype=torch.int64)

    def _frames(self, views: Views) -> Iterator[tuple[int, UInt8Array]]:
        """(place, uint8 [V, T, S, S, 3])."""
        name = str(views)
        if name in self._kept:
            yield from self._kept[name]
            return
        size = self._profile.size
        keep = len(self) * views.count * self._profile.frames * size * size * 3 <= KEPT_BYTES
        seen: list[tuple[int, UInt8Array]] = []
        for place, frames in self._reader.views(self._samples, views):
            if keep:
                seen.append((place, frames))
            yield place, frames
        if keep:
            self._kept[name] = seen
