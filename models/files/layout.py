"""A fine-tuned version on disk: model.safetensors, card.json, and text/ with what the text encoder needs besides
weights.

The file's tensors are fp32 and have these names:
    visual.*, transformer.*, text.*, …   open_clip's own, text tower included; for lite those of its own file
    logit_scale                          s
    temporal.*, time_blocks.*            the temporal head; convolutions over time inside the tower
    extension.*, anchors.*               what a closed-form fit adds to videos and to labels, if the version has one
    classifier.*                         the classifier's state, at least `rows` [C, d]
    context                              [M, w], if the text encoder reads learned context vectors (CoOp)
    prompts.image, prompts.text          [D, n, w]: all that a version of prompts holds, beside classifier.rows; the
                                         rest is that of the base that the card's `prompts` names by digest. In an
                                         imported version, the towers that they belong to are in the same file
If the file has no text tower, the version uses another text encoder (in text/), or the base model's own (imported
checkpoints without text weights: `"text": "base"` in the card).
"""

from __future__ import annotations

WEIGHTS, CARD, TEXT, TOKENIZER = "model.safetensors", "card.json", "text", "tokenizer.json"

# Vireo's prefixes; no open_clip model has such names
ADDED = ("temporal.", "time_blocks.", "extension.", "anchors.", "classifier.", "context", "prompts.")
PROMPTS_OF_IMAGE, PROMPTS_OF_TEXT = "prompts.image", "prompts.text"
