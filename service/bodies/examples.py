"""Examples of request bodies, for the OpenAPI document: the name of an example and its body."""

from __future__ import annotations

from typing import Any

_LABELS = ["riding a bicycle", "playing the guitar", "a cat"]

CLASSIFY_EXAMPLES: dict[str, dict[str, Any]] = {
    "a URL": {"video_url": "https://example.org/clip.mp4", "labels": _LABELS, "top_k": 3},
    "a stored video and a label set": {"video_id": "vid_6f3a…", "label_set": "sports:3"},
    "prompts of your own": {
        "video_id": "vid_6f3a…",
        "labels": [{"name": "cat", "prompts": ["a video of a cat.", "a kitten playing."]}, "dog"],
        "views": "4x3",
        "threshold": 0.5,
    },
}
QUESTION_EXAMPLES: dict[str, dict[str, Any]] = {
    "labels": {"labels": _LABELS},
    "a label set": {"label_set": "sports", "top_k": 1},
}
BATCH_EXAMPLES: dict[str, dict[str, Any]] = {
    "stored videos and URLs": {
        "items": [{"id": "front door", "video_id": "vid_6f3a…"}, {"video_url": "https://example.org/clip.mp4"}],
        "labels": _LABELS,
        "top_k": 1,
    },
    "objects": {"items": [{"s3": "s3://bucket/videos/clip.mp4"}], "label_set": "sports:3"},
}
BATCH_UPLOAD_EXAMPLE: dict[str, Any] = {"manifest": "@videos.jsonl", "labels": _LABELS, "top_k": 1}
TIMELINE_EXAMPLES: dict[str, dict[str, Any]] = {
    "labels": {"labels": _LABELS},
    "twice a second": {"labels": _LABELS, "stride": 0.5, "window": 1.0},
}
SEARCH_EXAMPLES: dict[str, dict[str, Any]] = {
    "by text": {"text": "a person riding a bicycle", "top_k": 5},
    "among some": {"text": "a cat", "filter": {"tags": ["kitchen"], "created_after": 1767225600}},
    "by a stored video": {"video_id": "vid_6f3a…"},
}
INDEX_EXAMPLES: dict[str, dict[str, Any]] = {"all": {}, "some": {"filter": {"tags": ["kitchen"]}}}
EXPLAIN_EXAMPLES: dict[str, dict[str, Any]] = {
    "the winning label": {"labels": _LABELS},
    "another label": {"labels": _LABELS, "label": "a cat"},
}
FRAMES_EXAMPLES: dict[str, dict[str, Any]] = {"the model's own": {}, "more": {"model": "lite", "frames": 16}}
KEEP_EXAMPLES: dict[str, dict[str, Any]] = {
    "a URL": {"video_url": "https://example.org/clip.mp4"},
    "with tags": {"video_url": "https://example.org/clip.mp4", "tags": ["kitchen"], "metadata": {"camera": "3"}},
}
DESCRIBE_EXAMPLES: dict[str, dict[str, Any]] = {"tags": {"tags": ["kitchen", "night"]}}
LABEL_SET_EXAMPLES: dict[str, dict[str, Any]] = {
    "names": {"labels": _LABELS, "description": "What happens in our clips."},
    "prompts": {"labels": [{"name": "cat", "prompts": ["a video of a cat."]}], "templates": ["a video of {}."]},
}
LABEL_CHECK_EXAMPLES: dict[str, dict[str, Any]] = {
    "names": {"labels": ["jogging", "running", "ApplyEyeMakeup", "17"], "model": "lite"}
}
LABEL_SET_CHECK_EXAMPLES: dict[str, dict[str, Any]] = {"by a model": {"model": "lite"}}
EMBED_EXAMPLES: dict[str, dict[str, Any]] = {
    "texts": {"texts": ["a person riding a bicycle"]},
    "a stored video": {"video_id": "vid_6f3a…"},
}

_DATASET_ID = "ds_0123456789abcdef01234567"
COMPARE_EXAMPLES: dict[str, dict[str, Any]] = {"a candidate": {"model": "my-gym:4"}}

PREVIEW_EXAMPLES: dict[str, dict[str, Any]] = {"before training": {"base": "lite"}}

TRAINING_EXAMPLES: dict[str, dict[str, Any]] = {
    "on a laptop": {"name": "my-gym", "dataset": _DATASET_ID, "base": "lite"},
    "few-shot, and what it costs other labels": {
        "name": "my-gym",
        "dataset": _DATASET_ID,
        "base": "clip-b16",
        "temporal": "transformer",
        "shots": 4,
        "seed": 1,
        "novel": 0.5,
        "templates": ["a video of a person {}."],
    },
}
EVALUATION_EXAMPLES: dict[str, dict[str, Any]] = {
    "a version": {"model": "my-gym@production", "dataset": _DATASET_ID, "views": "4x3"},
    "zero-shot, halves of the classes": {"dataset": _DATASET_ID, "split": "all", "protocol": "half-class"},
    "splits of the manifest": {"dataset": _DATASET_ID, "protocol": "fixed-splits", "splits": ["1", "2", "3"]},
    "a K-shot curve": {
        "model": "clip-b16",
        "dataset": _DATASET_ID,
        "protocol": "k-shot",
        "shots": [1, 2, 4, 8, 16],
        "seeds": [0, 1, 2],
    },
    "base to novel by ViFi-CLIP": {
        "model": "clip-b16",
        "dataset": _DATASET_ID,
        "protocol": "base-to-novel",
        "training": {"method": "vifi", "recipe": "vifi-base-to-novel"},
    },
}
CALIBRATION_EXAMPLES: dict[str, dict[str, Any]] = {
    "any labels": {"model": "lite", "dataset": _DATASET_ID},
    "the labels of a set": {"model": "my-gym@production", "dataset": _DATASET_ID, "label_set": "exercises"},
}
ALIAS_EXAMPLES: dict[str, dict[str, Any]] = {"the third version": {"version": 3}}
SHADOW_EXAMPLES: dict[str, dict[str, Any]] = {"a tenth of the questions": {"version": 4, "share": 0.1}}
DATASET_UPLOAD_EXAMPLE: dict[str, Any] = {"archive": "@my-gym.zip", "name": "my-gym"}
IMPORT_UPLOAD_EXAMPLE: dict[str, Any] = {"file": "@vitb-16-f8.pt", "name": "k400", "base": "clip-b16"}
TASKS_EXAMPLE: list[dict[str, Any]] = [
    {
        "data": {"video": "https://example.org/clip.mp4", "video_id": "vid_6f3a…"},
        "annotations": [{"result": [{"type": "choices", "value": {"choices": ["a cat"]}}]}],
    }
]
FEEDBACK_EXAMPLES: dict[str, dict[str, Any]] = {
    "the answer was right": {"job": "job_…", "confirmed": True},
    "it shows something else": {"job": "job_…", "label": "a cat"},
    "without a question": {"video": "vid_6f3a…", "label": "a cat"},
    "a part of it": {"video": "vid_6f3a…", "label": "a cat", "start": 2.5, "end": 7.0},
}

SESSION_EXAMPLES: dict[str, dict[str, Any]] = {"sign in": {"key": "vireo_4f1c…"}}
