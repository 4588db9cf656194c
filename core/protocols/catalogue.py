"""All protocols, each with the line of the table that it repeats. P1: Wu, Sun, Ouyang, "Revisiting Classifier:
Transferring Vision-Language Models for Video Recognition" (AAAI 2023, long version); P2: Rasheed et al., "Fine-tuned
CLIP Models are Efficient Video Learners" (CVPR 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from core.errors import InvalidRequest
from core.protocols.judged import fixed_splits, halves
from core.protocols.protocol import JUDGING, TRAINING, Protocol
from core.protocols.trained import base_to_novel_lines, base_to_novel_runs, k_shot_lines, k_shot_runs
from core.training_requests import EvaluationRequest
from core.vocabulary import ProtocolName

_P1 = 'Text4Vis (Wu et al., "Revisiting Classifier", AAAI 2023)'
_P2 = 'ViFi-CLIP (Rasheed et al., "Fine-tuned CLIP Models are Efficient Video Learners", CVPR 2023)'

PROTOCOLS: Final[Mapping[ProtocolName, Protocol]] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "full-class",
            "Every clip among all classes.",
            f"{_P1}, Table 4, full-class evaluation: UCF-101 79.6, HMDB-51 49.8, ActivityNet 77.4. The paper judges "
            "all clips of a dataset that the model was not trained on (split=all).",
            JUDGING,
        ),
        Protocol(
            "single-view",
            "Every clip among all classes, with one clip × one crop.",
            f"{_P1}, training logs, single view, Kinetics-400, 8 frames: ViT-B/16 81.4, ViT-L/14 85.4.",
            JUDGING - {"views", "aggregate"},
        ),
        Protocol(
            "multi-view",
            "Every clip among all classes, with several views, 4 clips × 3 crops unless the request says otherwise.",
            f'{_P1}, Table 1, column "Views", 4 × 3 (the row of ViT-L/14 at 336 pixels, 87.8, has 1 × 3). {_P2}, fully '
            "supervised on Kinetics-400, 4 × 3.",
            JUDGING,
            usual={"views": "4x3"},
        ),
        Protocol(
            "image",
            "One frame of each clip, the one that a question with frames=1 looks at, among all classes.",
            "No line of a table: what a model knows without time, to compare with full-class.",
            JUDGING - {"frames", "views", "aggregate"},
            usual={"frames": 1},
        ),
        Protocol(
            "half-class",
            "Seeded halves of the classes, rounded down: each clip of a half among the classes of this half.",
            f"{_P1}, Table 4, half-class evaluation, mean ± standard deviation over ten halves: UCF-101 85.8 ± 3.3, "
            "HMDB-51 58.1 ± 5.7, ActivityNet 84.6 ± 1.4. The paper judges all clips of a dataset that the model was "
            "not trained on (split=all).",
            (JUDGING | {"seeds"}) - {"views", "aggregate"},
            spaces=halves,
            row="{} halves of the classes".format,
        ),
        Protocol(
            "fixed-splits",
            "The split columns of the manifest: the held-out clips of each among their own classes.",
            f"{_P1}, Table 4, Kinetics-600 over its three splits of 160 classes: 68.9 ± 1.0. {_P2}, zero-shot results, "
            "row ViFi-CLIP, over three splits: HMDB-51 51.3 ± 0.6, UCF-101 76.8 ± 0.7, Kinetics-600 71.2 ± 1.0.",
            (JUDGING | {"splits"}) - {"split", "views", "aggregate"},
            spaces=fixed_splits,
            row="{} splits".format,
        ),
        Protocol(
            "k-shot",
            "A model is trained on K clips of each class, for each K and each seed, and judged among all classes.",
            f"{_P1}, Table 3, 0 / 1 / 2 shots / all clips: HMDB-51 53.8 / 72.7 / 73.5 / 80.1, UCF-101 71.9 / 96.4 / "
            f"96.6 / 96.9, ActivityNet 75.6 / 89.0 / 90.3 / 91.1, Kinetics-400 61.0 / 75.8 / 78.2 / 84.7. {_P2}, "
            "few-shot results, K = 2, 4, 8, 16.",
            TRAINING,
            runs=k_shot_runs,
            lines=k_shot_lines,
            plot="curve",
        ),
        Protocol(
            "base-to-novel",
            "A model is trained on K clips of each class of the more frequent half (base), with each seed. Base clips "
            "are judged among base classes, clips of the other half (novel) among novel classes.",
            f"{_P2}, base-to-novel generalization, row ViFi-CLIP, base / novel / harmonic mean over three seeds: "
            "Kinetics-400 76.4 / 61.1 / 67.9, HMDB-51 73.8 / 53.3 / 61.9, UCF-101 92.9 / 67.7 / 78.3, "
            "Something-Something v2 16.2 / 12.1 / 13.9.",
            TRAINING,
            runs=base_to_novel_runs,
            lines=base_to_novel_lines,
            plot="bars",
        ),
    )
}


def protocol_of(request: EvaluationRequest) -> Protocol:
    return PROTOCOLS[request.protocol]


def check_fields(request: EvaluationRequest) -> None:
    """Raises: InvalidRequest for a field that has no effect."""
    protocol = protocol_of(request)
    usual = EvaluationRequest.model_fields
    for name in sorted((JUDGING | TRAINING | {"splits"}) - protocol.reads):
        if getattr(request, name) != usual[name].default:
            fitting = [other.name for other in PROTOCOLS.values() if name in other.reads]
            raise InvalidRequest(
                f"The protocol {protocol.name!r} does not read {name}.",
                hint=f"Leave {name} out, or use the protocol {' or '.join(fitting)}.",
                field=name,
            )
