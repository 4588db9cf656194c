"""URLs that lead into the private network, through the gateway, with a resolver of our own and real connections.

127.0.0.2 plays a public address, where a server of the attacker answers. 127.0.0.1 is private, and a server there
notes whoever comes: nobody may.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from core.uploads import targets
from core.uploads.addresses import is_public
from tests.service.doubles import answering
from tests.service.sites import FILE, LABELS, VIDEO, Site
from tests.waiting import wait_until

PUBLIC, PRIVATE = "127.0.0.2", "127.0.0.1"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
HOSTS = (
    "127.0.0.1", "127.1", "127.0.1", "0177.0.0.1", "0x7f.0.0.1", "0x7f000001", "2130706433", "017700000001", "0",
    "0.0.0.0",
    "localhost", "localhost.", "LOCALHOST", "127.0.0.1.", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:7f00:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[::127.0.0.1]", "[fe80::1]", "[fc00::1]",
    "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "169.254.169.254", "0xa9fea9fe", "[fd00:ec2::254]",
    "192.0.0.192",
    "224.0.0.1", "255.255.255.255", "private.test", "both.test", "mapped.test", "１２７.０.０.１", "127。0。0。1",
)  # fmt: skip
"""The private network in every spelling, and as names that our resolver knows."""

SOME = ("127.0.0.1", "0x7f.1", "2130706433", "[::1]", "[::ffff:7f00:1]", "localhost", "private.test", "both.test")


@dataclass
class Network:
    """Two servers on one port, and who came to each. answers: addresses of names, one list for each look-up."""

    port: int = 0
    public: list[str] = field(default_factory=list)
    private: list[str] = field(default_factory=list)
    answers: dict[str, list[list[str]]] = field(default_factory=dict)

    async def resolve(self, host: str, port: int) -> list[str]:
        if host not in self.answers:
            return await targets.system_resolve(host, port)
        found = self.answers[host]
        return found.pop(0) if len(found) > 1 else found[0]


@contextmanager
def answers_at(address: str, port: int, came: list[str]) -> Iterator[int]:
    """A server that serves a video, or redirects `/to/URL` to URL."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            came.append(self.path)
            redirected = self.path.startswith("/to/")
            self.send_response(307 if redirected else 200)
            if redirected:
                self.send_header("Location", self.path.removeprefix("/to/"))
            self.send_header("Content-Length", str(len(VIDEO)))
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(VIDEO)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.do_GET()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer((address, port), Page)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    monkeypatch.setattr(targets, "is_public", lambda address: address == PUBLIC or is_public(address))
    found = Network(
        answers={
            "public.test": [[PUBLIC]],
            "private.test": [[PRIVATE]],
            "both.test": [[PUBLIC, PRIVATE]],
            "mapped.test": [["::ffff:127.0.0.1"]],
        }
    )
    with answers_at(PRIVATE, 0, found.private) as port, answers_at(PUBLIC, port, found.public):
        found.port = port
        yield found


@pytest.fixture
def site(
    serve: Callable[..., AbstractContextManager[Site]], network: Network, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    monkeypatch.setattr("service.jobs.webhook_sender.POLL_SECONDS", 0.02)
    with serve(webhook_secret=SECRET) as site:
        for guard in (site.gateway.sources._fetcher._guard, site.gateway.webhooks._guard):
            monkeypatch.setattr(guard, "_resolve", network.resolve)
        yield site


def keep(site: Site, url: str) -> tuple[int, str]:
    """Status and code of the answer to a video that is to be fetched."""
    with site.client() as http:
        answer = http.post("/v1/videos", json={"video_url": url})
        return answer.status_code, answer.json().get("error", {}).get("code", "")


def test_a_public_url_is_fetched(site: Site, network: Network) -> None:
    """The network works: what follows is refused for its addresses."""
    assert keep(site, f"http://public.test:{network.port}/a.mp4")[0] == 201
    assert keep(site, f"http://public.test:{network.port}/to/http://public.test:{network.port}/b.mp4")[0] < 300
    assert (len(network.public), network.private) == (3, [])


def test_no_spelling_of_a_private_address_is_fetched(site: Site, network: Network) -> None:
    answers = {host: keep(site, f"http://{host}:{network.port}/") for host in HOSTS}
    assert {host: answer for host, answer in answers.items() if answer[0] != 422} == {}
    reached = {host for host, (_, code) in answers.items() if code not in ("url_not_allowed", "url_unreachable")}
    assert reached == set()
    assert (network.public, network.private) == ([], [])


def test_no_redirect_leads_to_a_private_address(site: Site, network: Network) -> None:
    others = ("file:///etc/passwd", "gopher://127.0.0.1/", "ftp://127.0.0.1/", "//private.test/")
    for target in (*(f"http://{host}:{network.port}/" for host in SOME), *others):
        status, code = keep(site, f"http://public.test:{network.port}/to/{target}")
        assert (status, code) in ((422, "url_not_allowed"), (422, "url_unreachable")), target
    assert network.private == []
    assert len(network.public) == len(SOME) + len(others)


def test_a_name_that_changes_its_address_is_not_followed(site: Site, network: Network) -> None:
    """DNS rebinding: public when it is checked, private at every later look-up."""
    network.answers["rebind.test"] = [[PUBLIC], [PRIVATE]]
    assert keep(site, f"http://rebind.test:{network.port}/a.mp4")[0] == 201
    network.answers["rebind.test"] = [[PUBLIC], [PRIVATE]]
    again = keep(site, f"http://rebind.test:{network.port}/to/http://rebind.test:{network.port}/a.mp4")
    assert again == (422, "url_not_allowed")
    assert (len(network.public), network.private) == (2, [])


def test_a_webhook_to_a_private_address_is_refused(site: Site, network: Network) -> None:
    for host in SOME:
        assert ask_with_webhook(site, f"http://{host}:{network.port}/hook") == (422, "url_not_allowed"), host
    with site.client() as http:
        assert http.get("/v1/jobs").json()["data"] == []
    assert network.private == []


@pytest.mark.parametrize("way", ["rebinding", "redirect"])
def test_a_webhook_is_not_led_to_a_private_address_later(
    site: Site, network: Network, redis_url: str, way: str
) -> None:
    """Each delivery looks the name up again, and follows no redirect."""
    private = f"http://private.test:{network.port}/hook"
    network.answers["later.test"] = [[PUBLIC], [PRIVATE]] if way == "rebinding" else [[PUBLIC]]
    path = "hook" if way == "rebinding" else f"to/{private}"
    with answering(redis_url), site.client() as http:
        assert ask_with_webhook(site, f"http://later.test:{network.port}/{path}") == (200, "")
        (job,) = http.get("/v1/jobs").json()["data"]
        wait_until(lambda: http.get(f"/v1/jobs/{job['id']}").json()["webhook"]["deliveries"])
        (delivery, *_) = http.get(f"/v1/jobs/{job['id']}").json()["webhook"]["deliveries"]
    assert (delivery["status"], delivery["error"] is None) == ((None, False) if way == "rebinding" else (307, False))
    assert network.private == []


def ask_with_webhook(site: Site, url: str) -> tuple[int, str]:
    with site.client() as http:
        answer = http.post("/v1/classify", files=FILE, data={"labels": LABELS}, headers={"Webhook-URL": url})
        return answer.status_code, answer.json().get("error", {}).get("code", "")
