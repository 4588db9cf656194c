"""The clients: each sends mixed requests, repeats one that was refused for a while, and notes what it was told."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2

GIVE_UP_SECONDS: Final = 180.0  # after which a request that got no answer counts as lost
PAUSE: Final = 0.2  # seconds before a request is repeated that has no Retry-After
LONGEST_PAUSE: Final = 2.0
TEMPORARY: Final = {429, 503, 504}
"""Statuses that promise an answer to a later try."""

LABELS: Final = ("a cat", "a dog", "colour bars", "counting cells", "a person", "riding a bicycle", "snow", "nothing")
SHARES: Final = {"classify": 25, "re-ask": 42, "embed texts": 8, "embed video": 8, "later": 12, "alias": 3}
"""Kind of request → how many of a hundred, about; the rest are datasets and training runs."""


@dataclass(frozen=True, slots=True)
class Material:
    """What the requests are made of."""

    clips: Sequence[bytes]
    videos: Sequence[str]
    """Ids of the stored clips, in the order of `clips`."""
    archive: bytes
    dataset: str
    model: str
    """A model of two versions, whose alias moves."""


@dataclass(slots=True)
class Request:
    """One request of a client, and the answer to it."""

    number: int
    kind: str
    key: str
    method: str
    path: str
    options: dict[str, Any]
    status: int = 0
    body: Any = None
    tries: int = 0
    seconds: float = 0.0
    url: str = ""
    """Of the gateway that answered."""

    @property
    def answered(self) -> bool:
        return self.status in (200, 202)

    def send(self, url: str, http: httpx2.Client, **headers: str) -> httpx2.Response:
        own = {"Idempotency-Key": self.key} if self.key else {}
        given = self.options | {"headers": self.options.get("headers", {}) | own | headers}
        return http.request(self.method, url + self.path, **given)


@dataclass(slots=True)
class Ledger:
    """What all clients were told."""

    requests: list[Request] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    """Why requests were repeated."""
    surprises: list[str] = field(default_factory=list)
    """Answers that no fault excuses."""


class Clients:
    """Several clients at once, each in a thread, which take the next number until all requests are sent."""

    def __init__(
        self, urls: Sequence[str], material: Material, seed: int, requests: int, heavy: int, pace: float
    ) -> None:
        """`heavy`: how many of the requests are datasets, and how many are training runs. `pace`: seconds between two
        requests of a client, on average."""
        self.ledger = Ledger()
        self._urls = urls
        self._material = material
        self._seed = seed
        self._pace = pace
        self._lock = threading.Lock()
        chance = random.Random(seed)
        kinds = [*["dataset"] * heavy, *["train"] * heavy]
        kinds += chance.choices(list(SHARES), list(SHARES.values()), k=requests - len(kinds))
        chance.shuffle(kinds)
        self._next = iter(list(enumerate(kinds)))
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(6)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    @property
    def busy(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        with httpx2.Client(timeout=90, trust_env=False) as http:
            while True:
                with self._lock:
                    number, kind = next(self._next, (0, ""))
                if not kind:
                    return
                request = self.make(number, kind)
                time.sleep(random.Random(f"pace {request.key} {number}").uniform(0, 2 * self._pace))
                self._answer(request, http)
                with self._lock:
                    self.ledger.requests.append(request)

    def make(self, number: int, kind: str) -> Request:
        """The same for the same seed and number."""
        chance = random.Random(f"{self._seed} {number}")
        given = self._material
        clip = chance.randrange(len(given.clips))
        labels = chance.sample(LABELS, 3)
        question = {"labels": labels, "frames": chance.choice([4, 8, 16])}
        key = f"torture-{self._seed}-{number}"
        stored = f"/v1/videos/{given.videos[clip]}"
        match kind:
            case "classify":
                form = {"data": {"labels": json.dumps(labels)}, "files": {"video": ("clip.mp4", given.clips[clip])}}
                return Request(number, kind, key, "POST", "/v1/classify", form)
            case "re-ask":
                return Request(number, kind, key, "POST", f"{stored}/classify", {"json": question})
            case "later":
                options = {"json": question, "headers": {"Prefer": "respond-async"}}
                return Request(number, kind, key, "POST", f"{stored}/classify", options)
            case "embed texts":
                return Request(number, kind, key, "POST", "/v1/embeddings", {"json": {"texts": labels}})
            case "embed video":
                about = {"json": {"video_id": given.videos[clip], "frames": question["frames"]}}
                return Request(number, kind, key, "POST", "/v1/embeddings", about)
            case "alias":
                path = f"/v1/models/{given.model}/aliases/production"
                return Request(number, kind, "", "PUT", path, {"json": {"version": chance.choice([1, 2])}})
            case "dataset":
                archive = {"files": {"archive": ("scenes.zip", given.archive)}}
                return Request(number, kind, key, "POST", "/v1/datasets", archive)
            case "train":
                run = {"name": f"run-{self._seed}-{number}", "dataset": given.dataset, "base": "tiny", "epochs": 2}
                return Request(number, kind, key, "POST", "/v1/training-jobs", {"json": run | {"batch_size": 4}})
        raise ValueError(kind)

    def _answer(self, request: Request, http: httpx2.Client) -> None:
        """Send the request until it is answered, by whichever gateway."""
        began = time.monotonic()
        chance = random.Random(request.number)
        while time.monotonic() - began < GIVE_UP_SECONDS:
            request.tries += 1
            request.url = chance.choice(self._urls)
            try:
                answer = request.send(request.url, http)
            except httpx2.TransportError as error:
                self._refused(type(error).__name__)
                time.sleep(PAUSE)
                continue
            request.status = answer.status_code
            if request.answered:
                request.body = answer.json()
                request.seconds = time.monotonic() - began
                return
            self._refused(f"{answer.status_code} {_code(answer)}")
            if answer.status_code not in TEMPORARY:
                self._surprise(f"{request.kind} {request.number}: {answer.status_code} {answer.text[:300]}")
                return
            time.sleep(min(LONGEST_PAUSE, float(answer.headers.get("Retry-After", PAUSE))))
        self._surprise(f"{request.kind} {request.number}: no answer in {GIVE_UP_SECONDS:g} s")

    def _refused(self, why: str) -> None:
        with self._lock:
            self.ledger.refusals[why] += 1

    def _surprise(self, what: str) -> None:
        with self._lock:
            self.ledger.surprises.append(what)


def _code(answer: httpx2.Response) -> str:
    try:
        return str(answer.json()["error"]["code"])
    except (ValueError, KeyError, TypeError):
        return ""
