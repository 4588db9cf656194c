"""Several projects, or keys of one project, in one queue: whose job is started next, who finds room, and when a refused
client shall come back."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import redis

from core.records import Job, new_job_id
from core.state import keys, lifecycle, steps
from core.state.fairness import CHECK_ROOM, LONGEST_RETRY, asked_by, check_room_args
from worker.jobs.book import JobBook

SHARED: dict[str, str] = {}
"""Fields that all jobs of a test have: with a project, its askers are keys."""


@pytest.fixture(autouse=True, params=[{}, {"project": "shared"}], ids=["projects", "keys"])
def askers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in request.param.items():
        monkeypatch.setitem(SHARED, name, value)


def fields_of(asker: str) -> dict[str, str]:
    return SHARED | ({"api_key": asker} if SHARED else {"project": asker})


def room_args(asker: str, limit: int) -> tuple[list[str], list[str]]:
    fields = fields_of(asker)
    return check_room_args(asked_by(fields["project"], fields.get("api_key")), keys.INFERENCE, limit)


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def book(client: redis.Redis) -> JobBook:
    return JobBook(client, keys.INFERENCE)


def create(client: redis.Redis, asker: str, limit: int = 1000) -> str | float:
    """The id of a new job, or the seconds after which there is room."""
    job = Job(id=new_job_id(), kind="classification", created_at=time.time(), **fields_of(asker))
    script_keys, args = lifecycle.create_args(job, keys.INFERENCE, limit)
    outcome, value = client.register_script(steps.CREATE)(keys=script_keys, args=args)
    return job.id if outcome == "created" else float(value)


def queue(client: redis.Redis, asker: str, count: int = 1) -> list[str]:
    return [str(create(client, asker)) for _ in range(count)]


def start(book: JobBook, message: str) -> str | None:
    """The job that a worker starts for a message."""
    job_id = book.turn(message)
    assert job_id is None or book.start(job_id)
    return job_id


def test_the_messages_of_one_project_start_their_own_jobs(client: redis.Redis, book: JobBook) -> None:
    jobs = queue(client, "one", 5)
    assert [start(book, job) for job in jobs] == jobs
    assert [start(book, job) for job in jobs] == [None] * 5  # delivered twice


def test_a_project_with_nothing_running_passes_a_long_queue_of_another(client: redis.Redis, book: JobBook) -> None:
    """Each message starts one job, and every job is started, once."""
    many = queue(client, "many", 20)
    running = [start(book, job) for job in many[:4]]
    (single,) = queue(client, "single")
    order = [start(book, message) for message in [*many[4:], single]]
    assert order[0] == single
    assert sorted(filter(None, [*running, *order])) == sorted([*many, single])


def test_two_projects_run_as_many_jobs_each(client: redis.Redis, book: JobBook) -> None:
    first, second = queue(client, "first", 20), queue(client, "second", 20)
    started = [start(book, message) for message in [*first, *second][:10]]
    assert len([job for job in started if job in second]) == 5
    for message in [*first, *second][10:]:
        start(book, message)
    assert client.zcard(keys.waiting(keys.INFERENCE)) == 0


def test_two_workers_that_take_messages_at_the_same_moment_start_two_jobs(client: redis.Redis, book: JobBook) -> None:
    many = queue(client, "many", 6)
    start(book, many[0])
    single = queue(client, "single")[0]
    chosen = [book.turn(message) for message in many[1:3]]  # before one of them has started its job
    assert chosen == [single, many[2]]
    assert all(book.start(str(job)) for job in chosen)
    assert start(book, single) == many[1]  # whose message has started `single`


def test_a_parent_that_waits_for_its_children_takes_no_share(client: redis.Redis, book: JobBook) -> None:
    parent = queue(client, "tree")[0]
    start(book, parent)
    client.hset(keys.job(parent), "awaits", 3)
    others = queue(client, "other", 2)
    start(book, others[0])
    child = queue(client, "tree")[0]
    assert start(book, others[1]) == child


def test_a_full_queue_has_room_for_a_project_that_has_less_than_its_share(client: redis.Redis) -> None:
    for _ in range(12):
        create(client, "greedy", limit=10)
    waiting = keys.waiting(keys.INFERENCE)
    assert client.zcard(waiting) == 10
    for _ in range(12):
        create(client, "late", limit=10)
    assert client.zcard(waiting) == 15  # half of the limit each, from the moment on that there are two
    assert isinstance(create(client, "greedy", limit=10), float)


def test_refused_clients_are_told_to_come_back_one_after_the_other_as_fast_as_the_queue_empties(
    client: redis.Redis, book: JobBook
) -> None:
    """Twenty jobs have ended in the last ten seconds: two clients a second find room."""
    for job in queue(client, "one", 20):
        attempt = book.start(job)
        assert attempt
        book.succeed(attempt, {})
    queue(client, "one", 5)
    told = [create(client, "one", limit=5) for _ in range(10)]
    assert told == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    script_keys, args = room_args("one", 5)
    assert client.register_script(CHECK_ROOM)(keys=script_keys, args=args) == 6
    script_keys, args = room_args("another", 5)
    assert client.register_script(CHECK_ROOM)(keys=script_keys, args=args) == 0


def test_the_clients_of_a_queue_that_does_not_move_come_back_every_five_seconds_and_after_a_minute_at_most(
    client: redis.Redis,
) -> None:
    queue(client, "one", 2)
    told = [create(client, "one", limit=2) for _ in range(14)]
    assert told == [*range(5, LONGEST_RETRY, 5), LONGEST_RETRY, LONGEST_RETRY, LONGEST_RETRY]
