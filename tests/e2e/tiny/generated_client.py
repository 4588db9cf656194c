"""A program of a user: it imports only `vireo_generated`, the package that a stock generator made from /openapi.json.

    python generated_client.py URL ARCHIVE CLIP

It uploads a dataset, trains on it, reads the report, asks the new version about a clip, and prints what it got as JSON.
"""

from __future__ import annotations

import base64
import json
import sys
import time
from pathlib import Path
from typing import Any

import vireo_generated as api  # type: ignore[import-not-found]

FINAL = ("succeeded", "failed", "cancelled")


def finished(jobs: Any, job: Any, seconds: float = 150) -> Any:
    """The job's result, in the type that the document declares for its kind."""
    deadline = time.monotonic() + seconds
    while (job := jobs.jobs_get(job.id)).state.value not in FINAL:
        assert time.monotonic() < deadline, job
        time.sleep(0.1)
    assert job.state.value == "succeeded", job.error
    return job.result.actual_instance


def main(url: str, archive: Path, clip: Path) -> None:
    with api.ApiClient(api.Configuration(host=url)) as client:
        jobs = api.JobsApi(client)
        sent = api.DatasetsApi(client).datasets_create(
            archive=(archive.name, archive.read_bytes()), name="scenes", prefer="respond-async"
        )
        dataset = finished(jobs, sent)
        asked = api.TrainingRequest(name="contract", dataset=dataset.dataset, base="tiny", epochs=1, temporal="mean")
        started = api.TrainingApi(client).training_create(asked, idempotency_key="contract-1")
        version = finished(jobs, started)
        report = api.ModelsApi(client).models_report("contract", version.version)
        question = api.ClassifyBody(
            base64=base64.b64encode(clip.read_bytes()).decode(),
            labels=[api.ClassifyBodyLabelsInner("a cat"), api.ClassifyBodyLabelsInner("colour bars")],
            model=version.model,
        )
        answer = api.ClassifyApi(client).classify_classify(question)
        missing = None
        try:
            jobs.jobs_get("job_none")
        except api.ApiException as error:
            missing = error.data.error.code
    done = {
        "dataset": dataset.dataset,
        "clips": dataset.clips,
        "training": started.id,
        "model": version.model,
        "report": report,
        "answer": {"model": answer.model, "labels": [each.label for each in answer.predictions]},
        "missing": missing,
    }
    sys.stdout.write(json.dumps(done))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
