"""Names of everything kept in Redis. One place, so that two rooms can never disagree.

Jobs, label sets and videos carry no TTL (a cache policy that evicts `volatile` keys cannot touch them; the sweeper
deletes them when their time has come). Keys under `vireo:cache:` carry one and may vanish at any time.
"""

from __future__ import annotations

# Names of the Celery queues, and of the job sets that mirror them; each has a worker process of its own kind.
INFERENCE = "inference"
TRAINING = "training"  # hours of GPU: training, evaluation
DATASETS = "datasets"  # minutes of CPU: archives and checkpoints that somebody sent

JOBS = "vireo:jobs"  # zset: job id -> created_at
FINISHED = "vireo:jobs:finished"  # zset: job id -> finished_at
DONE_CHANNEL = "vireo:jobs:done"  # pub/sub: ids of jobs that reached a final state
CANCEL_CHANNEL = "vireo:jobs:cancel"  # pub/sub: ids of jobs that somebody wants stopped
VIDEOS = "vireo:videos"  # zset: sha256 -> unix time after which it may be deleted; +inf for those kept
LABEL_SETS = "vireo:label-sets"  # set of names
LABEL_SET_VERSIONS = "vireo:label-sets:versions"  # hash: name -> last version given out, so none is given twice
WORKERS = "vireo:workers"  # zset: worker id -> unix time of its last heartbeat


def job(job_id: str) -> str:
    return f"vireo:job:{job_id}"


def events(job_id: str) -> str:
    return f"vireo:job:{job_id}:events"


def waiting(queue: str) -> str:
    """Zset: job id -> the time it was queued. Its size is the queue's depth, its first score the oldest job."""
    return f"vireo:queue:{queue}:waiting"


def running(queue: str) -> str:
    """Zset: job id -> the time its lease ends, pushed forward by the worker's heartbeat."""
    return f"vireo:queue:{queue}:running"


def idempotency(key_digest: str) -> str:
    return f"vireo:idempotency:{key_digest}"


def video(sha256: str) -> str:
    """Hash: the fields of `core.records.StoredVideo`; `facts` is JSON."""
    return f"vireo:video:{sha256}"


def video_deleting(sha256: str) -> str:
    """Stands, for seconds, while a video's bytes are being deleted: who brings them again waits until it is gone."""
    return f"vireo:video:{sha256}:leaving"


def label_set(name: str) -> str:
    """Hash: version number -> JSON of that version; immutable once written."""
    return f"vireo:label-set:{name}"


def worker(worker_id: str) -> str:
    return f"vireo:worker:{worker_id}"


def cached_row(row_key: str) -> str:
    return f"vireo:cache:row:{row_key}"


def cached_video(vector_key: str) -> str:
    return f"vireo:cache:video:{vector_key}"


def model_versions() -> str:
    """Hash: model name -> last version number given out, so that none is given twice."""
    return "vireo:models:versions"
