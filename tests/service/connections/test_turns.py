"""Many bodies at once: the event loop works on one piece of one of them, and then on what else there is."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from itertools import pairwise

from starlette.types import Message, Receive, Scope, Send

from core.settings import Settings
from service.connections.bodies_in_flight import BodiesInFlight
from service.connections.turns import PASSES, Turns
from tests.service.sites import Site

Serve = Callable[..., AbstractContextManager[Site]]
REQUESTS = 12
PIECES = 5


class Passes:
    """Counts the passes of the event loop."""

    def __init__(self) -> None:
        self.number = 0
        self._next()

    def _next(self) -> None:
        self.number += 1
        self._handle = asyncio.get_running_loop().call_soon(self._next)

    def stop(self) -> None:
        self._handle.cancel()


async def post(app: BodiesInFlight, pieces: int, answers: list[int]) -> None:
    """A request whose body is here already."""
    left = [{"type": "http.request", "body": b"x", "more_body": index < pieces - 1} for index in range(pieces)]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-length", b"%d" % pieces)]}

    async def receive() -> Message:
        return left.pop(0)

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answers.append(message["status"])

    await app(scope, receive, send)


def worked_on(pieces: int, settings: Settings) -> tuple[list[int], list[int]]:
    """The pass of the loop in which each piece was worked on, and the status of each answer that is not the app's."""
    worked: list[int] = []
    answers: list[int] = []

    async def run() -> None:
        passes = Passes()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            worked.append(passes.number)
            while (await receive())["more_body"]:
                worked.append(passes.number)
            worked.append(passes.number)

        bodies = BodiesInFlight(app, settings)
        async with asyncio.timeout(10):
            await asyncio.gather(*(post(bodies, pieces, answers) for _ in range(REQUESTS)))
        passes.stop()

    asyncio.run(run())
    return worked, answers


def test_between_two_pieces_of_bodies_others_get_some_passes_of_the_loop() -> None:
    worked, _ = worked_on(PIECES, Settings())
    assert len(worked) == REQUESTS * (1 + PIECES)
    assert min(after - before for before, after in pairwise(worked)) == PASSES


def test_a_body_keeps_its_place_until_its_last_piece_is_worked_on() -> None:
    """Else more than `max_bodies` could wait for their turn, complete and in memory."""
    _, answers = worked_on(1, Settings(max_bodies=2))
    assert answers == [503] * (REQUESTS - 2)


def test_who_leaves_takes_no_turn() -> None:
    async def run() -> None:
        turns = Turns()
        await turns.next()
        waiting = [asyncio.create_task(turns.next()) for _ in range(5)]
        await asyncio.sleep(0)
        for task in waiting[:4]:
            task.cancel()
        async with asyncio.timeout(10):
            await waiting[4]
            for _ in range(3):
                await turns.next()
        for task in waiting[:4]:
            with suppress(asyncio.CancelledError):
                await task

    asyncio.run(run())


def test_connections_that_wait_are_accepted_together(serve: Serve) -> None:
    """A probe that connects behind many others must not wait for one pass of the loop per connection."""
    with serve() as site, ExitStack() as stack:
        address = ("127.0.0.1", int(site.url.rpartition(":")[2]))

        async def passes_until_accepted() -> int:
            for _ in range(40):  # the loop stands still meanwhile
                stack.enter_context(socket.create_connection(address, timeout=10))
            for number in range(1000):
                if len(site.server.server_state.connections) == 40:
                    return number
                await asyncio.sleep(0)
            raise AssertionError("not all were accepted")

        assert site.run(passes_until_accepted()) < 20
