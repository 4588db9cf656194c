"""Records that outlive a request: jobs and their answers, stored videos, label sets, workers.

They are bodies of the HTTP contract as well, so a job that is read a day later has exactly the answer that was given
then. Times are unix seconds (UTC) as float; durations are seconds unless the name says `_ms`.
"""

from core.records.answers import (
    AttentionSheet,
    CacheUse,
    CalibrationRef,
    Classification,
    Embedding,
    Embeddings,
    Explanation,
    FrameContribution,
    FrameSheet,
    LabelTimeline,
    ModelRef,
    Prediction,
    Segment,
    Timings,
)
from core.records.base import SCHEMA, Record
from core.records.jobs import (
    AcceptedJobKind,
    Delivery,
    Job,
    JobKind,
    JobState,
    Phase,
    Progress,
    Webhook,
    new_job_id,
    subject_of,
)
from core.records.label_sets import LabelSet
from core.records.videos import LastAnswer, StoredVideo, VideoFacts, VideoRef, video_id
from core.records.workers import EngineCandidate, EngineInfo, WorkerInfo

__all__ = [
    "SCHEMA",
    "AcceptedJobKind",
    "AttentionSheet",
    "CacheUse",
    "CalibrationRef",
    "Classification",
    "Delivery",
    "Embedding",
    "Embeddings",
    "EngineCandidate",
    "EngineInfo",
    "Explanation",
    "FrameContribution",
    "FrameSheet",
    "Job",
    "JobKind",
    "JobState",
    "LabelSet",
    "LabelTimeline",
    "LastAnswer",
    "ModelRef",
    "Phase",
    "Prediction",
    "Progress",
    "Record",
    "Segment",
    "StoredVideo",
    "Timings",
    "VideoFacts",
    "VideoRef",
    "Webhook",
    "WorkerInfo",
    "new_job_id",
    "subject_of",
    "video_id",
]
