"""Prometheus metrics of all rooms, by name. `docs/metrics.md` lists them.

Under `vireo up` gateway and worker share `PROMETHEUS_MULTIPROC_DIR`, so the gateway's /metrics shows both; in
containers each exports its own.
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
HTTP_SECONDS = Histogram("vireo_http_request_seconds", "Time to answer.", ["route", "method"], buckets=_SECONDS)
UPLOAD_BYTES = Counter("vireo_upload_bytes_total", "Bytes of video received.")

STAGE_SECONDS = Histogram(
    "vireo_stage_seconds",
    "Time spent in one stage of a request: fetch, queue, decode, encode, text, score.",
    ["stage"],
    buckets=_SECONDS,
)
BATCH_SIZE = Histogram(
    "vireo_batch_size", "Frames in one forward pass of the image tower.", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256)
)
DECODE_FRAMES = Counter("vireo_decode_frames_total", "Frames handed to the recogniser.", ["codec"])
DECODE_FAILURES = Counter("vireo_decode_failures_total", "Videos that could not be decoded.", ["reason"])
VIDEO_SECONDS = Counter("vireo_video_seconds_processed_total", "Seconds of video looked at.")
CACHE_REQUESTS = Counter(
    "vireo_cache_requests_total",
    "Look-ups by cache: tier classifier (label rows) or video (frame features); outcome memory, redis or miss.",
    ["tier", "outcome"],
)
JOBS_FINISHED = Counter("vireo_jobs_total", "Jobs finished.", ["kind", "state"])
REQUEUED = Counter("vireo_jobs_requeued_total", "Jobs taken over from a worker that died.")
MODEL_INFO = Gauge(
    "vireo_model_info",
    "1 for each model in a worker's memory.",
    ["model", "digest", "device", "precision"],
    multiprocess_mode="livemax",
)
CLASSIFY_MARGIN = Histogram(
    "vireo_classify_margin",
    "Score of the best label minus that of the second.",
    buckets=(0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0),
)
ABSTAINED = Counter("vireo_abstain_total", "Answers whose best score was below the threshold asked for.")

# Training: seen by the worker from what its child says, because the child has no port and may be killed. The label
# `model` is a model's name without its version, so there are as many series as models were trained here. Where several
# processes share a directory of metric files, the one that spoke last is right.
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
    "How the model does: val_loss and val_top1 while it is trained, the report's top1, top5, … at the end.",
    ["model", "metric"],
    multiprocess_mode="livemostrecent",
)
TRAIN_HEARD = Gauge(
    "vireo_train_heard_timestamp_seconds",
    "When the run in hand (training or evaluation) last said something, in unix seconds; 0 while there is none.",
    multiprocess_mode="livemostrecent",
)
DATASET_CLIPS = Counter(
    "vireo_dataset_clips_total", "Files of datasets that were checked: kept, or why they were left out.", ["outcome"]
)


def exposition(*extra: Collector) -> tuple[bytes, str]:
    """The /metrics body and its content type; `extra` collectors read live state at the moment of the scrape."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    else:
        registry = REGISTRY
    live = CollectorRegistry()
    for collector in extra:
        live.register(collector)
    return generate_latest(registry) + generate_latest(live), CONTENT_TYPE_LATEST
