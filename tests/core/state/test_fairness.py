"""Several projects, or keys of one project, in one queue: whose job is started next, who finds room, and when a refused
client shall come back."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import redis

from core.records import Job, new_job_id
from core.state import keys, lifecycle, steps
from core.state.fairness import CHECK_ROOM, LONGEST_RETRY, Sender, asked_by, check_room_args
from worker.jobs.book import JobBook

SHARED: dict[str, str] = {}
"""Fields that all jobs of a test have: with a project, its askers are keys."""


@pytest.fixture(autouse=True, params=[{}, {"project": "shared"}], ids=["projects", "keys"])
def askers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in request.param.items():
        monkeypatch.setitem(SHARED, name, value)


def fields_of(asker: str) -> dict[str, str]:
    return SHARED | ({"api_key": asker} if SHARED else {"project": asker})


def by(sender: str) -> Sender:
    return Sender(f"{sender}#", f"{sender}#")


def room_args(asker: str, limit: int, sender: str = "") -> tuple[list[str], list[str]]:
    fields = fields_of(asker)
    return check_room_args(asked_by(fields["project"], fields.get("api_key")), keys.INFERENCE, limit, by(sender))


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def book(client: redis.Redis) -> JobBook:
    return JobBook(client, keys.INFERENCE)


def create(client: redis.Redis, asker: str, limit: int = 1000, sender: str = "") -> str | float:
    """The id of a new job, or the seconds after which there is room."""
    job = Job(id=new_job_id(), kind="classification", created_at=time.time(), **fields_of(asker))
    script_keys, args = lifecycle.create_args(job, keys.INFERENCE, limit, sender=by(sender))
    outcome, value = client.register_script(steps.CREATE)(keys=script_keys, args=args)
    return job.id if outcome == "created" else float(value)


def queue(client: redis.Redis, asker: str, count: int = 1) -> list[str]:
    return [str(create(client, asker)) for _ in range(count)]


def start(book: JobBook, message: str) -> str | None:
    """The job that a worker starts for a message."""
    attempt = book.start(message)
    return attempt.job_id if attempt else None


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
    assert [start(book, message) for message in many[1:3]] == [single, many[2]]
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
    """Two jobs run, and a job takes a second: two places become free per second, and somewhat fewer are given."""
    client.lpush(keys.seconds(keys.INFERENCE), 0.857, 1.357)
    for job in queue(client, "one", 5)[:2]:
        book.start(job)
    told = [create(client, "one", limit=5) for _ in range(10)]
    assert told == [1, 2, 3, 4, 5, 5, 6, 7, 8, 9]
    script_keys, args = room_args("one", 5)
    assert client.register_script(CHECK_ROOM)(keys=script_keys, args=args) == 10
    script_keys, args = room_args("another", 5)
    assert client.register_script(CHECK_ROOM)(keys=script_keys, args=args) == 0


def test_how_long_the_last_fifty_jobs_ran_is_known(client: redis.Redis, book: JobBook) -> None:
    for job, seconds in zip(queue(client, "one", 60), [30.0] * 10 + [2.0] * 50, strict=True):
        attempt = book.start(job)
        assert attempt
        client.hset(keys.job(job), "started_at", time.time() - seconds)
        book.succeed(attempt, {})
    found = [float(text) for text in client.lrange(keys.seconds(keys.INFERENCE), 0, -1)]
    assert found == pytest.approx([2.0] * 50, abs=0.5)


def test_the_clients_of_a_queue_that_does_not_move_come_back_every_six_seconds_and_after_a_minute_at_most(
    client: redis.Redis,
) -> None:
    queue(client, "one", 2)
    told = [create(client, "one", limit=2) for _ in range(12)]
    assert told == [*range(6, LONGEST_RETRY, 6), LONGEST_RETRY, LONGEST_RETRY, LONGEST_RETRY]


def is_let_in(client: redis.Redis, sender: str, limit: int) -> bool:
    return isinstance(create(client, "one", limit, sender), str)


def make_due(client: redis.Redis, ago: float = 0.0) -> None:
    """The places are kept for those who come back now, or came back `ago` seconds before."""
    for place in map(str, client.zrange(keys.kept(keys.INFERENCE), 0, -1)):
        client.zadd(keys.kept(keys.INFERENCE), {place: time.time() - ago})


def end_oldest(client: redis.Redis, book: JobBook, count: int = 1) -> None:
    for job in map(str, client.zrange(keys.waiting(keys.INFERENCE), 0, count - 1)):
        attempt = book.start(job)
        assert attempt
        book.succeed(attempt, {})


def test_a_client_that_comes_back_when_it_was_told_to_finds_the_place_that_others_want(
    client: redis.Redis, book: JobBook
) -> None:
    queue(client, "one", 5)
    assert create(client, "one", 5, "refused") == 6
    end_oldest(client, book)
    assert is_let_in(client, "other", 5)  # the place is not kept yet
    make_due(client)
    end_oldest(client, book)
    assert not is_let_in(client, "other", 5)
    assert is_let_in(client, "refused", 5)
    assert client.zcard(keys.kept(keys.INFERENCE)) == 1  # of `other`


def test_each_place_is_taken_once(client: redis.Redis, book: JobBook) -> None:
    """Two requests that look the same have two places."""
    queue(client, "one", 10)
    assert [create(client, "one", 10, sender) for sender in ("same", "same", "x")] == [6, 12, 18]
    make_due(client)
    end_oldest(client, book, 3)
    assert [is_let_in(client, sender, 10) for sender in ("same", "new", "same")] == [True, False, True]


def test_the_place_is_still_kept_after_the_check_before_an_upload(client: redis.Redis, book: JobBook) -> None:
    queue(client, "one", 5)
    create(client, "one", 5, "upload")
    make_due(client, ago=2.5)
    end_oldest(client, book)
    script_keys, args = room_args("one", 5, "upload")
    assert client.register_script(CHECK_ROOM)(keys=script_keys, args=args) == 0
    assert client.zrange(keys.kept(keys.INFERENCE), 0, -1, withscores=True)[0][1] == pytest.approx(time.time(), abs=1)
    assert is_let_in(client, "upload", 5)
    assert client.zcard(keys.kept(keys.INFERENCE)) == 0


def test_a_client_that_comes_back_before_the_queue_has_emptied_is_told_another_time(client: redis.Redis) -> None:
    queue(client, "one", 5)
    assert create(client, "one", 5, "refused") == 6
    make_due(client)
    assert create(client, "one", 5, "refused") == 6
    assert client.zcard(keys.kept(keys.INFERENCE)) == 1


def test_clients_that_never_come_back_hold_three_quarters_of_the_places_for_three_seconds(client: redis.Redis) -> None:
    queue(client, "one", 4)
    for number in range(10):
        create(client, "one", 4, f"lost {number}")
    make_due(client)
    client.delete(keys.waiting(keys.INFERENCE))
    assert [is_let_in(client, f"new {number}", 4) for number in range(2)] == [True, False]
    make_due(client, ago=3.1)
    assert is_let_in(client, "new", 4)
