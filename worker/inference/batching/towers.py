"""The two towers of a loaded model, each behind a batcher: frames to features, texts to vectors.

Texts have one road, for labels and for embeddings: in bounded forward passes that concurrent requests share, the same
text once however many requests wait for it, and cancelled between two passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from core.prometheus import BATCH_SIZE, BATCH_WAIT, TEXT_BATCH_SIZE
from core.settings import Settings
from models.recognition.engine import LanePlan
from models.recognition.recognizer import TextCall
from models.recognition.video_encoder import FrameCall
from worker.inference.batching.batcher import Batcher, Tower
from worker.inference.caches.lru import ByteLRU
from worker.inference.caches.single_flight import SingleFlight
from worker.jobs.cancellation import CancelToken

Frames = NDArray[np.uint8]

MOST_TEXTS_ON_CPU = 32
"""In one forward pass. With CLIP a text costs no less in a larger one, and others wait for a lane meanwhile
(benchmarks/NOTES.md)."""

TEXT_MEMORY = 32 << 20  # bytes of text vectors that are kept per model: a text asked again within moments


@dataclass(frozen=True, slots=True)
class TextVectors:
    """vectors: float32 [n, d], un-normalised; truncated: for each text whether it is longer than the tower reads."""

    vectors: torch.Tensor
    truncated: list[bool]

    def __len__(self) -> int:
        return len(self.truncated)

    def __getitem__(self, rows: slice) -> TextVectors:
        return TextVectors(self.vectors[rows], self.truncated[rows])

    @staticmethod
    def merge(parts: Sequence[TextVectors]) -> TextVectors:
        flags = [flag for part in parts for flag in part.truncated]
        return TextVectors(torch.cat([part.vectors for part in parts]), flags)  # [Σn, d]


def _frame_batcher(
    forward: FrameCall, plan: LanePlan, settings: Settings, on_cpu: bool
) -> Batcher[Frames, torch.Tensor]:
    return Batcher(
        Tower(forward, np.concatenate, torch.cat),
        max_items=min(plan.batch, settings.batch_frames),
        max_wait=settings.batch_wait_ms / 1000,
        lanes=plan.lanes,
        share=on_cpu,
        start_lane=partial(torch.set_num_threads, plan.threads),
        stuck_after=settings.inference_deadline,
        observe=BATCH_SIZE.observe,
        waited=BATCH_WAIT.labels("image").observe,
    )


class TextEncoder:
    """The text tower of a loaded model. It has as many lanes as the image tower, so that both share the cores alike."""

    def __init__(self, encode: TextCall, plan: LanePlan, settings: Settings, *, on_cpu: bool = False) -> None:
        def forward(texts: list[str], _: int) -> TextVectors:
            return TextVectors(*encode(texts))

        def join(lists: Sequence[list[str]]) -> list[str]:
            return [text for texts in lists for text in texts]

        self._batcher = Batcher(
            Tower(forward, join, TextVectors.merge),
            max_items=min(settings.batch_texts, MOST_TEXTS_ON_CPU) if on_cpu else settings.batch_texts,
            max_wait=settings.batch_wait_ms / 1000,
            lanes=plan.lanes,
            start_lane=partial(torch.set_num_threads, plan.threads),
            stuck_after=settings.inference_deadline,
            observe=TEXT_BATCH_SIZE.observe,
            waited=BATCH_WAIT.labels("text").observe,
        )
        self._recent: ByteLRU[str, TextVectors] = ByteLRU(TEXT_MEMORY)
        self._flights: SingleFlight[str, TextVectors] = SingleFlight()

    def encode(self, texts: Sequence[str], token: CancelToken) -> TextVectors:
        """n ≥ 1 texts → n vectors. Raises: Cancelled, DeviceFailed, or the exception of the text tower."""
        found = {text: vector for text in texts if (vector := self._recent.get(text))}
        missing = [text for text in texts if text not in found]
        if missing:
            found |= self._flights.values(missing, token, self._encode)
        return TextVectors.merge([found[text] for text in texts])

    def close(self, timeout: float = 30.0) -> None:
        self._batcher.close(timeout)

    def _encode(self, texts: list[str], token: CancelToken) -> dict[str, TextVectors]:
        # Another request may have encoded some since they were looked for.
        found = {text: vector for text in texts if (vector := self._recent.get(text))}
        missing = [text for text in texts if text not in found]
        if missing:
            rows = self._batcher.encode(missing, token)
            for index, text in enumerate(missing):
                row = TextVectors(rows.vectors[index : index + 1].clone(), rows.truncated[index : index + 1])
                self._recent.put(text, row, row.vectors.nbytes + len(text))
                found[text] = row
        return found


class Towers:
    """Both towers of one recogniser; they are closed together."""

    def __init__(
        self,
        encode_frames: FrameCall,
        encode_texts: TextCall,
        plan: LanePlan,
        settings: Settings,
        attend: FrameCall | None = None,
        *,
        on_cpu: bool = False,
    ) -> None:
        """The methods of `Recognizer`, or what stands for them."""
        self.frames = _frame_batcher(encode_frames, plan, settings, on_cpu)
        self.attention = _frame_batcher(attend, plan, settings, on_cpu) if attend else None
        self.texts = TextEncoder(encode_texts, plan, settings, on_cpu=on_cpu)

    def close(self, timeout: float = 30.0) -> None:
        self.frames.close(timeout)
        if self.attention:
            self.attention.close(timeout)
        self.texts.close(timeout)
