"""The names of all Redis keys, in one place, so that gateway and workers cannot disagree. What belongs to a project is
named through `core.state.project_keys`.

Jobs, label sets and videos have no TTL: an eviction policy for `volatile` keys cannot remove them, and the sweeper
deletes them when they expire. Keys under `vireo:cache:` have a TTL and may vanish at any time.
"""

from __future__ import annotations

# Names of the Celery queues and of the job sets that mirror them. Each queue has worker processes of its own.
INFERENCE = "inference"
TRAINING = "training"  # hours on a GPU: training, evaluation
DATASETS = "datasets"  # minutes on a CPU: uploaded archives and checkpoints

JOBS = "vireo:jobs"  # zset: job id -> created_at
FINISHED = "vireo:jobs:finished"  # zset: job id -> finished_at
DONE_CHANNEL = "vireo:jobs:done"  # pub/sub: ids of jobs that reached a final state
CANCEL_CHANNEL = "vireo:jobs:cancel"  # pub/sub: ids of running jobs that are to stop
VIDEOS = "vireo:videos"  # zset: sha256 -> unix time after which it may be deleted; +inf for those kept
VIDEOS_CREATED = "vireo:videos:created"  # zset: sha256 -> created_at, for lists
VIDEOS_UNCERTAIN = "vireo:videos:uncertain"  # zset: sha256 -> uncertainty of the last answer, 0 to 1
VIDEOS_LEAVING = "vireo:videos:leaving"  # zset: sha256 of a video whose traces are being deleted -> jobs until when
REWRITE = "vireo:rewrite"  # exists while Redis's append-only file has commands that name a deleted video
DELETED_CHANNEL = "vireo:videos:deleted"  # pub/sub: videos that workers forget, as `core.projects.prefix_of` and sha256
FEEDBACK = "vireo:feedback"  # zset: feedback id -> time of its last change
LABEL_SETS = "vireo:label-sets"  # set of names
LABEL_SET_VERSIONS = "vireo:label-sets:versions"  # hash: name -> last version number, so that none is used twice
DEFAULT_MODEL = "vireo:models:default"  # JSON: the model for requests that name none, and who decided
PAYLOADS = "vireo:jobs:payloads"  # zset: id of a job with files in the store -> unix time after which to look at them
WEBHOOKS = "vireo:webhooks"  # zset: id of a job whose end is to be announced -> unix time to look at it
SCHEMA = "vireo:schema"  # version of the form of all keys
RESTORING = "vireo:restoring"  # exists while a backup is restored into this Redis, and after a restore that failed
PROBE = "vireo:probe"  # written to see whether Redis takes writes
API_KEYS = "vireo:keys"  # hash: id of an API key -> JSON of its record
AUDIT = "vireo:audit"  # stream of the actions of administrators
WORKERS = "vireo:workers"  # zset: worker id -> unix time of its last heartbeat


def job(job_id: str) -> str:
    return f"vireo:job:{job_id}"


def events(job_id: str) -> str:
    """Stream of what happens to the job. It is trimmed to its last 20,000 entries."""
    return f"vireo:job:{job_id}:events"


def metrics(job_id: str) -> str:
    """List of a run's metrics as JSON. It is not trimmed."""
    return f"vireo:job:{job_id}:metrics"


def webhook_sender(job_id: str) -> str:
    """Exists while a gateway sends the job's webhook."""
    return f"vireo:job:{job_id}:webhook-sender"


def children(job_id: str) -> str:
    """Set of the unfinished jobs that a job has made. Redis deletes it with its last member."""
    return f"vireo:job:{job_id}:children"


def waiting(queue: str) -> str:
    """Zset: job id -> the time it was queued. Its size is the depth of the queue; its first entry is the oldest job."""
    return f"vireo:queue:{queue}:waiting"


def running(queue: str) -> str:
    """Zset: job id -> the time its lease ends. The worker's heartbeat renews it."""
    return f"vireo:queue:{queue}:running"


def kept(queue: str) -> str:
    """Zset: who was refused -> the time at which a place is kept for it. It vanishes after a minute."""
    return f"vireo:queue:{queue}:kept"


def seconds(queue: str) -> str:
    """List: how long the last jobs of the queue ran, the latest first."""
    return f"vireo:queue:{queue}:seconds"


def resend(queue: str) -> str:
    """Zset: id of a waiting job -> the time after which its message counts as lost."""
    return f"vireo:queue:{queue}:resend"


def idempotency(key_digest: str) -> str:
    return f"vireo:idempotency:{key_digest}"


def video(sha256: str) -> str:
    """Hash: the fields of `core.records.StoredVideo`; `facts` is JSON."""
    return f"vireo:video:{sha256}"


def video_tag(tag: str) -> str:
    """Zset: sha256 -> created_at, of the videos with this tag. The records decide; an entry here may be outdated."""
    return f"vireo:videos:tag:{tag}"


def video_deleting(sha256: str) -> str:
    """Exists for seconds while a video's bytes are being deleted. An upload of the same video waits for its end."""
    return f"vireo:video:{sha256}:leaving"


def feedback(feedback_id: str) -> str:
    """Hash: `said` (JSON of `core.feedback.record.Statement`), `revision`, `created_at`, `updated_at`."""
    return f"vireo:feedback:{feedback_id}"


def feedback_history(feedback_id: str) -> str:
    """List: the statements that were replaced, as JSON, the oldest first. Its length is limited."""
    return f"vireo:feedback:{feedback_id}:history"


def feedback_of_video(sha256: str) -> str:
    """Zset: feedback id -> time of its last change."""
    return f"vireo:feedback:video:{sha256}"


def feedback_of_label(label: str) -> str:
    """Zset: feedback id -> time of its last change."""
    return f"vireo:feedback:label:{label}"


def label_set(name: str) -> str:
    """Hash: version number -> JSON of that version, which never changes."""
    return f"vireo:label-set:{name}"


def alias_lock(name: str) -> str:
    """Held while the aliases of the model `name` are read and changed."""
    return f"vireo:model:{name}:aliases:lock"


def shadow_counts(name: str, alias: str) -> str:
    """Hash: what was counted of the shadows of an alias; each field begins with the pair of versions."""
    return f"vireo:model:{name}:aliases:{alias}:shadow"


def shadow_differences(name: str, alias: str) -> str:
    """Hash: pair of versions, what each answered -> how often they differed so. Its size is limited."""
    return f"vireo:model:{name}:aliases:{alias}:shadow:differences"


def worker(worker_id: str) -> str:
    return f"vireo:worker:{worker_id}"


def cached_row(row_key: str) -> str:
    return f"vireo:cache:row:{row_key}"


def cached_vectors(video: str) -> str:
    """Hash: digest of what else the vectors of this video depend on -> the vectors. One key, so that it can be deleted
    with the video. `video`: `core.projects.prefix_of` and its sha256."""
    return f"vireo:cache:vectors:{video}"


def model_versions() -> str:
    """Hash: model name -> last version number, so that none is used twice."""
    return "vireo:models:versions"
