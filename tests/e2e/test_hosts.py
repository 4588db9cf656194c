"""Two hosts: two gateways and two workers of each kind, a data directory each, one Redis and one S3-compatible store.

Most tests of one copy run again here, through a client that sends each request to the gateway that did not get the one
before: what one gateway stored, the other is asked about. Left out are the tests that look at the processes or files of
one host, most of those of training (a run uses one host), and the clips of every codec, on which the store has no say.
"""

from __future__ import annotations

import glob
import itertools
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from tests import tiny
from tests.clips import rendered
from tests.e2e.lite.test_classify import (  # noqa: F401 - pytest collects them here, with the fixtures of this module
    test_a_label_set_is_a_named_version,
    test_concurrent_questions_are_all_answered,
    test_cyclists_among_thirty_everyday_labels,
    test_embeddings_are_the_vectors_that_scores_are_made_of,
    test_label_order_changes_nothing_but_the_order_of_equals,
    test_prompts_templates_normalisation_and_threshold,
    test_the_readme_question_gets_its_right_answer_first,
    test_the_same_video_is_decoded_once_and_the_same_labels_encoded_once,
    test_truncated_labels_are_reported,
    test_url_base64_and_stored_video_answer_alike,
)
from tests.e2e.lite.test_faults import (  # noqa: F401
    test_a_cut_file_is_answered_with_a_warning,
    test_async_jobs_are_polled_to_their_result,
    test_bad_labels_name_their_index,
    test_unknown_names_are_404_with_the_nearest,
    until,
)
from tests.e2e.lite.test_operations import (  # noqa: F401
    test_classify_on_the_command_line,
    test_info_says_which_model_and_why,
    test_ready_and_alive,
)
from tests.e2e.runs import LONG, classify, continued, finished, secured, start, training_children
from tests.e2e.stack import Stack, copy_of, running
from tests.e2e.tiny.test_training import test_a_dataset_is_described_before_any_training  # noqa: F401
from tests.s3 import S3
from tests.service.sites import error


class OtherEachTime(httpx2.BaseTransport):
    """Sends each request to the gateway that did not get the one before."""

    def __init__(self, ports: list[int]) -> None:
        self._ports = itertools.cycle(ports)
        self._transport = httpx2.HTTPTransport()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        request.url = request.url.copy_with(port=next(self._ports))
        return self._transport.handle_request(request)

    def close(self) -> None:
        self._transport.close()


@dataclass(frozen=True)
class Hosts:
    hosts: tuple[Stack, Stack]

    @property
    def url(self) -> str:
        return self.hosts[0].url

    def http(self) -> httpx2.Client:
        ports = [int(host.url.rpartition(":")[2]) for host in self.hosts]
        return httpx2.Client(base_url=self.url, timeout=120, transport=OtherEachTime(ports))


@pytest.fixture(scope="module")
def stack(
    lite_dir: Path, redis_url_of_file: str, s3_server: S3, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Hosts]:
    environment = s3_server.environment | {
        "VIREO_REDIS_URL": redis_url_of_file,
        "VIREO_STORE": s3_server.url("hosts"),
        "VIREO_SPOOL_CHECK_SECONDS": "1",
        "VIREO_LEASE_SECONDS": "4",
    }
    with ExitStack() as started:
        hosts = []
        for name in ("host-1", "host-2"):
            data_dir = copy_of(lite_dir, tmp_path_factory.mktemp(name))
            tiny.place(data_dir)
            hosts.append(started.enter_context(running(data_dir, environment, wait=False)))
        for host in hosts:
            host.wait_ready()
        with hosts[0].http() as http:
            until(lambda: _live_workers(http) == 6, 60)
        yield Hosts((hosts[0], hosts[1]))


def _live_workers(http: httpx2.Client) -> int:
    return [worker["state"] for worker in http.get("/v1/info").json()["workers"]].count("ready")


def copies(host: Stack) -> set[str]:
    """Names of what a host has copied from the store."""
    # Not `Path.glob`: it fails where a directory is deleted meanwhile.
    return {Path(path).name for path in glob.glob("spool/copies/*/content/*", root_dir=host.data_dir)}  # noqa: PTH207


def ask(http: httpx2.Client, video: str, frames: int) -> str:
    """The id of the job. Frames that were not asked for before are decoded."""
    answer = http.post(
        f"/v1/videos/{video}/classify",
        json={"labels": ["a test pattern", "a cat"], "frames": frames},
        headers={"Prefer": "respond-async"},
    )
    assert answer.status_code == 202, answer.text
    job: str = answer.json()["id"]
    return job


def state(http: httpx2.Client, job: str) -> str:
    found: str = http.get(f"/v1/jobs/{job}").json()["state"]
    return found


def test_a_deletion_reaches_every_host(stack: Hosts, http: httpx2.Client, tmp_path: Path) -> None:
    video = http.post("/v1/videos", files={"video": rendered("h264_mkv", tmp_path).read_bytes()}).json()["id"]
    sha256 = video.removeprefix("vid_")
    frames = itertools.count(1)

    def copied_everywhere() -> bool:
        jobs = [ask(http, video, next(frames) % 60 + 1) for _ in range(6)]  # which host gets a job is open
        until(lambda: all(state(http, job) == "succeeded" for job in jobs), 60)
        return all(sha256 in copies(host) for host in stack.hosts)

    until(copied_everywhere, 60)
    assert http.delete(f"/v1/videos/{video}").status_code == 204
    for _ in stack.hosts:  # at once, at each gateway
        error(http.post(f"/v1/videos/{video}/classify", json={"labels": ["a"]}), 404, "unknown_video")
    until(lambda: not any(sha256 in copies(host) for host in stack.hosts), 30)


def test_a_run_whose_host_loses_its_worker_continues_from_the_store(
    stack: Hosts, http: httpx2.Client, dataset: str, archive: Path
) -> None:
    """Whichever host made the dataset, ran the first attempt and runs the second: all they share is in the store."""
    job = start(http, dataset, "shared", **LONG | {"epochs": 20})
    step = secured(http, job)
    (running_host,) = [host for host in stack.hosts if training_children(host)]
    os.kill(running_host.worker("training"), signal.SIGKILL)
    done = finished(http, job, seconds=150)
    assert (done["attempts"], done["result"]["model"]) == (2, "shared:1")
    assert continued(http, job)[-1] >= step
    for _ in stack.hosts:
        assert http.get("/v1/models/shared").json()["versions"] == [1]
        assert http.get(done["result"]["report"]).status_code == 200
        assert classify(http, archive, "shared:1", None).json()["model"] == "shared:1"
    assert http.delete("/v1/models/shared").status_code == 204
    for _ in stack.hosts:
        assert http.get("/v1/models/shared").status_code == 404


@pytest.mark.parametrize("victim", ["vireo-gateway", "vireo-worker --queue inference"])
def test_a_kill_9_loses_nothing(stack: Hosts, tmp_path: Path, bikes: Path, victim: str) -> None:
    """The other host accepts and finishes everything while the first has neither answered nor come back."""
    first, second = stack.hosts
    frames = itertools.count(9 if victim == "vireo-gateway" else 20)
    with first.http() as http, second.http() as other:
        video = http.post("/v1/videos", files={"video": bikes.read_bytes()}).json()["id"]
        jobs = [ask(http, video, next(frames)) for _ in range(5)]
        until(lambda: any(state(other, job) == "running" for job in jobs), 30)
        killed = first.children(victim)[0]
        os.kill(killed, signal.SIGKILL)
        jobs += [ask(other, video, next(frames)) for _ in range(2)]
        until(lambda: all(state(other, job) == "succeeded" for job in jobs), 150)
        until(lambda: any(pid != killed for pid in first.children(victim)), 30)
        until(lambda: _answers(http, jobs[0]), 60)


def _answers(http: httpx2.Client, job: str) -> bool:
    try:
        return state(http, job) == "succeeded"
    except httpx2.TransportError:
        return False
