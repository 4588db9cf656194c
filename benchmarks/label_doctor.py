"""Which pairs of labels does the label doctor call near-synonyms? `lite`; benchmarks/NOTES.md has what was expected."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import torch

from benchmarks.report import RESULTS, Row, report
from models.classifier.ensemble import build_rows
from models.classifier.likeness import DIFFERENT, near_threshold
from models.files.bases import open_base

Pairs = Sequence[tuple[str, str]]

SAME: Pairs = (
    ("jogging", "going for a run"),
    ("riding a bike", "riding a bicycle"),
    ("cycling", "riding a bicycle"),
    ("doing push-ups", "push-up exercise"),
    ("lifting weights", "weightlifting"),
    ("playing soccer", "soccer match"),
    ("washing hands", "hand wash"),
    ("shaking hands", "a handshake"),
    ("talking on the phone", "making a phone call"),
    ("brushing teeth", "cleaning teeth"),
    ("cutting hair", "giving a haircut"),
    ("riding a horse", "horseback riding"),
    ("playing guitar", "strumming a guitar"),
    ("rock climbing", "climbing a rock wall"),
    ("taking a photo", "taking a picture"),
    ("typing", "typing on a keyboard"),
    ("fixing a car", "repairing a car"),
    ("cooking food", "preparing a meal"),
    ("falling down", "a person falls"),
    ("people fighting", "a fight"),
    ("a traffic jam", "cars stuck in traffic"),
    ("swimming", "a person swims"),
    ("dancing", "people dance"),
    ("smoking", "smoking a cigarette"),
    ("painting a wall", "wall painting"),
    ("walking a dog", "dog walking"),
    ("an empty street", "a street with nobody"),
    ("laughing", "a person laughs"),
    ("doing the dishes", "washing dishes"),
    ("scuba diving", "diving under water"),
)
OTHER: Pairs = (
    ("running", "walking"),
    ("sitting down", "standing up"),
    ("opening a door", "closing a door"),
    ("playing tennis", "playing badminton"),
    ("playing violin", "playing cello"),
    ("a cat", "a dog"),
    ("riding a bicycle", "riding a motorcycle"),
    ("skiing", "snowboarding"),
    ("boxing", "wrestling"),
    ("drinking coffee", "eating a sandwich"),
    ("picking something up", "putting something down"),
    ("cutting wood", "cutting vegetables"),
    ("laughing", "crying"),
    ("high jump", "long jump"),
    ("shaving", "cutting hair"),
    ("washing hands", "washing dishes"),
    ("reading a book", "writing a letter"),
    ("driving a car", "parking a car"),
    ("singing", "talking"),
    ("playing drums", "playing piano"),
    ("surfing", "swimming"),
    ("a car", "a truck"),
    ("rain", "snow"),
    ("sunrise", "night"),
    ("pushing", "pulling"),
    ("throwing a ball", "catching a ball"),
    ("a full room", "an empty room"),
    ("baking a cake", "frying an egg"),
    ("climbing up", "climbing down"),
    ("hugging", "kissing"),
)


def main() -> bool:
    torch.set_num_threads(1)
    base = open_base("lite", data_dir=RESULTS / "data", progress=lambda *_: None)
    rows: list[Row] = []
    for name, templates in (("its template", base.profile.templates), ("no template", ("{}",))):

        def encode(texts: Sequence[str], templates: Sequence[str] = templates) -> torch.Tensor:
            return build_rows(base.text_encoder.encode, [(text, None) for text in texts], templates, False)[0]

        near = near_threshold(encode(DIFFERENT))
        rows.append(Row(f"{name}: near", near, ""))
        for what, pairs in (("the same", SAME), ("different", OTHER)):
            first, second = (encode([pair[side] for pair in pairs]) for side in (0, 1))
            cosines = (first * second).sum(dim=1)
            called = cosines > near
            rows.append(
                Row(f"{name}: called near-synonyms, of pairs that are {what}", 100 * float(called.double().mean()), "%")
            )
            for pair, cosine, found in zip(pairs, cosines.tolist(), called.tolist(), strict=True):
                if found is not (what == "the same"):
                    print(f"{name}, {what}: {pair[0]} | {pair[1]} {cosine:.2f}")
    return report("label_doctor", rows)


if __name__ == "__main__":
    sys.exit(not main())
