"""What a served model makes of labelled clips: cosines to the labels, in each way to read them, and to the null
prompts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from core.questions import Label
from models.calibration.judged import Reading, Seen
from models.calibration.null_prompts import NULL_PROMPTS
from models.classifier.ensemble import build_rows
from models.frames.arrays import FloatArray, IntArray
from models.recognition.base import Base
from models.recognition.recognizer import Recognizer
from models.recognition.scoring import score
from models.text.anchored_encoder import AnchoredTextEncoder
from models.text.encoder import EncodeTexts


def null_rows(recognizer: Recognizer) -> Tensor:
    """Unit rows of the null prompts [N, d]; of a model that reads no text, the rows of all its classes."""
    if recognizer.fixed_rows is not None:
        return recognizer.fixed_rows
    return build_rows(recognizer.encode_texts, [(text, (text,)) for text in NULL_PROMPTS], ("{}",), False)[0]


def readings_of(
    base: Base, recognizer: Recognizer, labels: Sequence[Label], templates: Sequence[str] | None, *, normalise: bool
) -> dict[str, Tensor]:
    """Unit rows of the labels [C, d], by the way they are read. A closed-form fit gives its classes coordinates that no
    other label has, so similarities to them are of another size. They are read without these as well: this is how
    similar videos are to labels that were never trained. Raises: KeyError for a label that a closed model lacks."""
    if recognizer.fixed_rows is not None:
        places = {name: place for place, name in enumerate(recognizer.classes)}
        return {"labels": recognizer.fixed_rows[[places[label.name] for label in labels]]}
    chosen = templates or recognizer.profile.templates

    def rows(encode: EncodeTexts) -> Tensor:
        return build_rows(encode, [(label.name, label.prompts) for label in labels], chosen, normalise)[0]

    read = rows(recognizer.encode_texts)
    encoder = base.text_encoder
    if not isinstance(encoder, AnchoredTextEncoder):
        return {"labels": read}
    plain = rows(encoder.inner.encode)
    return {"trained": read, "untrained": pad(plain, (0, read.shape[1] - plain.shape[1]))}


def see(vectors: Tensor, rows: dict[str, Tensor], null: Tensor, labels: Sequence[int], recognizer: Recognizer) -> Seen:
    """vectors: of the clips [n, V, d]; rows: as `readings_of` gives them; labels: of the clips."""

    def cosines(row: Tensor) -> FloatArray:
        profile = recognizer.profile
        found = [
            score(views, row, recognizer.logit_scale, profile.aggregate, profile.fusion).similarities
            for views in vectors
        ]
        stacked: FloatArray = torch.stack(found).double().numpy()  # [n, C]
        return stacked

    own: IntArray = np.array(labels, np.int64)
    readings = tuple(Reading(name, cosines(row)) for name, row in rows.items())
    return Seen(readings, cosines(null), own, recognizer.logit_scale)
