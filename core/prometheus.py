"""All Prometheus metrics, by name. `docs/metrics.md` lists them.

Under `vireo up` the gateway and the workers share `PROMETHEUS_MULTIPROC_DIR`, so the gateway's /metrics shows the
metrics of all. In containers each process exports its own.
"""

from __future__ import annotations

import os

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

HTTP_REQUESTS = Counter("vireo_http_requests_total", "HTTP requests answered.", ["route", "method", "status"])
HTTP_SECONDS = Histogram(
    "vireo_http_request_seconds", "Time to answer a request.", ["route", "method"], buckets=_SECONDS
)
UPLOAD_BYTES = Counter("vireo_upload_bytes_total", "Bytes of uploaded files.")

STAGE_SECONDS = Histogram(
    "vireo_stage_seconds",
    "Time spent in one stage of a request: fetch, queue, decode, encode, text, score.",
    ["stage"],
    buckets=_SECONDS,
)
BATCH_SIZE = Histogram(
    "vireo_batch_size", "Frames in one forward pass of the image tower.", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256)
)
TEXT_BATCH_SIZE = Histogram(
    "vireo_text_batch_size", "Texts in one forward pass of the text tower.", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256)
)
BATCH_WAIT = Histogram(
    "vireo_batch_wait_seconds",
    "Time that a request waited for its forward pass. Tower: image or text.",
    ["tower"],
    buckets=_SECONDS,
)
DECODE_FRAMES = Counter("vireo_decode_frames_total", "Frames passed to the recogniser.", ["codec"])
DECODE_FAILURES = Counter(
    "vireo_decode_failures_total",
    "Videos that could not be decoded. Codec: `unknown` where the file was refused before its codec was known.",
    ["codec", "reason"],
)
VIDEO_SECONDS = Counter("vireo_video_seconds_processed_total", "Seconds of video processed.")
CACHE_REQUESTS = Counter(
    "vireo_cache_requests_total",
    "Cache look-ups. Tier: classifier (label rows) or video (frame features). Outcome: memory, redis or miss.",
    ["tier", "outcome"],
)
JOBS_FINISHED = Counter("vireo_jobs_total", "Jobs finished.", ["kind", "state"])
REQUEUED = Counter("vireo_jobs_requeued_total", "Jobs that were queued again because their worker died.")
MODEL_INFO = Gauge(
    "vireo_model_info",
    "1 for each model in the memory of a worker.",
    ["model", "digest", "device", "precision"],
    multiprocess_mode="livemax",
)
GPU_MEMORY = Gauge(
    "vireo_gpu_memory_bytes",
    "Memory of a GPU that a worker uses, all processes on it together. Kind: used or total.",
    ["device", "kind"],
    multiprocess_mode="livemostrecent",
)
CLASSIFY_MARGIN = Histogram(
    "vireo_classify_margin",
    "Score of the best label minus the score of the second best.",
    buckets=(0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0),
)
ABSTAINED = Counter("vireo_abstain_total", "Answers in which no label reached the requested threshold.")
WEBHOOK_DELIVERIES = Counter("vireo_webhook_deliveries_total", "Attempts to send a webhook.", ["outcome"])
SHADOW_QUESTIONS = Counter(
    "vireo_shadow_questions_total",
    "Questions to an alias that its shadow was to score as well.",
    ["model", "alias", "outcome"],
)
SHADOW_MARGIN = Counter(
    "vireo_shadow_margin_total",
    "Sum of the margins of questions that both have scored: of the version that answered, and of its shadow.",
    ["model", "alias", "version"],
)

# Training: the worker updates these metrics from the messages of its child process, because the child has no port and
# may be killed. The label `model` is the name of a model without its version, so there is one series per model trained
# here. Where several processes share a directory of metric files, the value that was written last is shown.
TRAIN_STEP_SECONDS = Histogram(
    "vireo_train_step_seconds",
    "Time from one optimiser step to the next.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0),
)
TRAIN_LOSS = Gauge("vireo_train_loss", "Loss of the last step.", ["model"], multiprocess_mode="livemostrecent")
TRAIN_SPEED = Gauge(
    "vireo_train_samples_per_second", "Clips trained on per second; 0 after a run.", multiprocess_mode="livemostrecent"
)
TRAIN_EVAL = Gauge(
    "vireo_train_eval",
    "Metrics of the model: val_loss and val_top1 during training; top1, top5, … of the report at the end.",
    ["model", "metric"],
    multiprocess_mode="livemostrecent",
)
TRAIN_HEARD = Gauge(
    "vireo_train_heard_timestamp_seconds",
    "Unix time of the last message of the current run (training or evaluation); 0 while there is no run.",
    multiprocess_mode="livemostrecent",
)
DATASET_CLIPS = Counter(
    "vireo_dataset_clips_total", "Files of checked datasets: kept, or the reason why they were left out.", ["outcome"]
)


# Names come from decoders of untrusted files, and each label value is a series that stays.
_CODECS = frozenset(
    {
        *("h264", "hevc", "vvc", "av1", "vp8", "vp9", "vp6", "vp6f", "theora", "flv1", "h263", "rv30", "rv40"),
        *("mpeg4", "mpeg2video", "mpeg1video", "msmpeg4v1", "msmpeg4v2", "msmpeg4v3", "wmv1", "wmv2", "wmv3", "vc1"),
        *("mjpeg", "jpeg2000", "gif", "apng", "png", "prores", "dnxhd", "dvvideo", "ffv1", "huffyuv", "rawvideo"),
        "unknown",
    }
)


def codec_label(name: str) -> str:
    """The value of a label `codec`: `other` for rare codecs."""
    return name if name in _CODECS else "other"


def exposition(*extra: Collector) -> tuple[bytes, str]:
    """The body of /metrics and its content type. `extra`: collectors that read live state during the scrape."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    else:
        registry = REGISTRY
    live = CollectorRegistry()
    for collector in extra:
        live.register(collector)
    return generate_latest(registry) + generate_latest(live), CONTENT_TYPE_LATEST
