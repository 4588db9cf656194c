from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import httpx2

from core.records import VideoFacts
from core.state import keys
from core.state.payloads import OWN, Payloads
from core.state.video_records import SET_FACTS, facts_args
from tests.service.doubles import AnsweringWorker
from tests.service.sites import BASE64, FILE, SHA, VIDEO, Site, error, sweep
from tests.waiting import wait_until

ID = f"vid_{SHA}"


def test_keep_show_classify_delete(http: httpx2.Client, worker: AnsweringWorker, site: Site) -> None:
    kept = http.post("/v1/videos", files=FILE)
    assert (kept.status_code, kept.headers["location"]) == (201, f"/v1/videos/{ID}")
    assert http.post("/v1/videos", json={"base64": BASE64}).status_code == 200
    shown = http.get(f"/v1/videos/{ID}").json()
    assert (shown["id"], shown["bytes"], shown["kept"], shown["expires_at"]) == (ID, len(VIDEO), True, None)

    for asked in ({"json": {"labels": ["a", "b"], "top_k": 1}}, {"files": {"labels": (None, '["a","b"]')}}):
        answer = http.post(f"/v1/videos/{ID}/classify", **asked)
        assert [p["label"] for p in answer.json()["predictions"]] == ["a", "b"]

    assert http.delete(f"/v1/videos/{ID}").status_code == 204
    assert SHA not in site.blobs()
    error(http.get(f"/v1/videos/{ID}"), 404, "unknown_video")
    error(http.delete(f"/v1/videos/{ID}"), 404, "unknown_video")
    error(http.post(f"/v1/videos/{ID}/classify", json={"labels": ["a"]}), 404, "unknown_video")


def test_the_time_to_live_of_a_video_starts_anew_with_each_use(
    http: httpx2.Client, worker: AnsweringWorker, site: Site
) -> None:
    http.post("/v1/classify", data={"labels": "a"}, files=FILE)
    first = http.get(f"/v1/videos/{ID}").json()
    assert not first["kept"]
    assert abs(first["expires_at"] - time.time() - site.settings.video_ttl) < 60
    http.post(f"/v1/videos/{ID}/classify", json={"labels": ["a"]})
    assert http.get(f"/v1/videos/{ID}").json()["expires_at"] > first["expires_at"]
    http.post("/v1/videos", json={"video_id": ID})
    assert http.get(f"/v1/videos/{ID}").json()["kept"]
    http.post("/v1/classify", data={"labels": "a"}, files=FILE)
    assert http.get(f"/v1/videos/{ID}").json()["kept"]


def test_facts_from_the_worker_are_shown(http: httpx2.Client, site: Site) -> None:
    http.post("/v1/videos", files=FILE)
    facts = VideoFacts(duration=1.5, width=4, height=2, codec="h264")
    tell = site.redis.register_script(SET_FACTS)
    script_keys, args = facts_args(SHA, facts)
    assert tell(keys=script_keys, args=args) == 1
    assert VideoFacts.model_validate(http.get(f"/v1/videos/{ID}").json()["facts"]) == facts
    http.delete(f"/v1/videos/{ID}")
    assert tell(keys=script_keys, args=args) == 0
    assert site.redis.exists(keys.video(SHA)) == 0


def test_invalid_requests_for_videos(http: httpx2.Client, site: Site) -> None:
    error(http.post("/v1/videos", data={"labels": "a"}, files=FILE), 422, "invalid_request")
    error(http.post("/v1/videos", json={}), 422, "invalid_request")
    error(http.post(f"/v1/videos/{ID}/classify", data={"labels": "a"}, files=FILE), 422, "invalid_request")
    error(http.post(f"/v1/videos/{ID}/classify", json={"labels": ["a"], "url": "x"}), 422, "invalid_request")
    error(http.get("/v1/videos/vid_..%2Fetc"), 404, "not_found")
    error(http.get("/v1/videos/vid_1"), 404, "unknown_video")


def test_the_upload_of_a_refused_question_is_deleted(
    serve: Callable[..., AbstractContextManager[Site]],
) -> None:
    with serve(queue_limit=1) as site, site.client() as http:
        detached = {"prefer": "respond-async"}
        assert http.post("/v1/classify", data={"labels": "a"}, files=FILE, headers=detached).status_code == 202
        other = {"video": ("b.mp4", VIDEO + b"2")}
        full = http.post("/v1/classify", data={"labels": "a"}, files=other, headers=detached)
        error(full, 429, "queue_full")
        assert int(full.headers["retry-after"]) > 0
        assert site.blobs() == [SHA]
        assert site.partial_files() == []


def test_a_video_that_is_uploaded_during_its_deletion_is_not_lost(http: httpx2.Client, site: Site) -> None:
    site.redis.set(keys.video_deleting(SHA), "1", px=300)  # as during a deletion, between record and bytes
    started = time.monotonic()
    assert http.post("/v1/videos", files=FILE).status_code == 201
    assert time.monotonic() - started >= 0.2
    assert SHA in site.blobs()


def test_release_keeps_a_video_that_was_used_since(site: Site) -> None:
    async def run(use_between: bool) -> float | None:
        videos = site.gateway.videos
        with site.gateway.store.stage() as staged:
            staged.write(VIDEO)
            added = await videos.add(staged)
        if use_between:
            await asyncio.sleep(0.01)
            await videos.use(ID)
        await videos.release(added)
        return await site.gateway.redis.zscore(keys.VIDEOS, SHA)

    used = site.run(run(True))
    assert used is not None
    assert used > time.time() + 60
    assert SHA in site.blobs()
    site.redis.flushall()
    assert site.run(run(False)) is None
    assert SHA not in site.blobs()


def test_the_sweep_deletes_expired_videos(
    serve: Callable[..., AbstractContextManager[Site]],
) -> None:
    with serve() as site, site.client() as http:
        async_ = {"prefer": "respond-async"}
        job = http.post("/v1/classify", data={"labels": "a"}, files=FILE, headers=async_).json()["id"]
        kept = {"video": ("k.mp4", VIDEO + b"kept")}
        kept_sha = http.post("/v1/videos", files=kept).json()["id"].removeprefix("vid_")
        site.redis.zadd(keys.VIDEOS, {SHA: time.time() - 1})
        assert site.run(site.gateway.videos.sweep()) == 0  # an unfinished job needs it
        http.post(f"/v1/jobs/{job}/cancel").raise_for_status()
        assert site.run(site.gateway.videos.sweep()) == 1
        assert site.blobs() == [kept_sha]
        wait_until(lambda: http.get(f"/v1/videos/{ID}").status_code == 404)


def upload(http: httpx2.Client, content: bytes) -> str:
    found: str = http.post("/v1/videos", files={"video": ("clip.mp4", content)}).json()["id"]
    return found


def listed(http: httpx2.Client, limit: int = 2) -> list[str]:
    ids: list[str] = []
    params = {"limit": str(limit)}
    while True:
        page = http.get("/v1/videos", params=params).raise_for_status().json()
        assert len(page["data"]) <= limit
        ids += [video["id"] for video in page["data"]]
        if page["next"] is None:
            return ids
        params["cursor"] = page["next"]


def test_videos_are_listed_newest_first(http: httpx2.Client, worker: AnsweringWorker, site: Site) -> None:
    ids = [upload(http, VIDEO + bytes([n])) for n in range(4)]
    http.post("/v1/classify", data={"labels": "a"}, files=FILE)  # stored, not kept
    http.post(f"/v1/videos/{ids[0]}/classify", json={"labels": ["a"]})  # a use changes no place in the list
    assert listed(http) == [ID, *ids[::-1]]
    newest = http.get("/v1/videos", params={"limit": "1"}).json()["data"][0]
    assert newest == http.get(f"/v1/videos/{ID}").json()
    http.delete(f"/v1/videos/{ids[2]}")
    assert listed(http) == [ID, ids[3], ids[1], ids[0]]
    error(http.get("/v1/videos?cursor=x"), 422, "invalid_request")


def test_videos_of_the_same_moment_are_all_listed(http: httpx2.Client, site: Site) -> None:
    ids = [upload(http, VIDEO + bytes([n])) for n in range(5)]
    site.redis.zadd(keys.VIDEOS_CREATED, {video.removeprefix("vid_"): 1.5 for video in ids})
    assert sorted(listed(http)) == sorted(ids)


def test_videos_of_an_earlier_version_are_listed_after_a_sweep(http: httpx2.Client, site: Site) -> None:
    ids = [upload(http, VIDEO + bytes([n])) for n in range(2)]
    site.redis.delete(keys.VIDEOS_CREATED)
    site.redis.zadd(keys.VIDEOS_CREATED, {"0" * 64: 1.0, "1" * 64: 2.0, "2" * 64: 3.0})  # deleted without the list
    assert listed(http) == []
    site.run(site.gateway.videos.sweep())
    assert listed(http) == ids[::-1]
    assert site.redis.zcard(keys.VIDEOS_CREATED) == 2


def test_explain_a_stored_video(http: httpx2.Client, worker: AnsweringWorker, site: Site) -> None:
    http.post("/v1/videos", files=FILE)
    answer = http.post(f"/v1/videos/{ID}/explain", json={"labels": ["a", "b"], "label": "b", "frames": 4})
    assert answer.status_code == 200, answer.text
    assert answer.json()["label"] == "b"
    asked = worker.job(answer.json()["id"]).request
    assert (asked["label"], asked["question"]["frames"], asked["question"]["views"]) == ("b", 4, "1x1")
    assert http.post(f"/v1/videos/{ID}/explain", json={"labels": ["a", "b"]}).json()["label"] == "a"
    http.put("/v1/label-sets/pets", json={"labels": ["cat", "dog"]})
    assert http.post(f"/v1/videos/{ID}/explain", json={"label_set": "pets", "label": "dog"}).json()["label"] == "dog"
    shown = http.get(f"/v1/jobs/{answer.json()['id']}").json()
    assert (shown["kind"], shown["result"]["label"], shown["request"]) == ("explanation", "b", None)


def test_the_frames_of_a_stored_video(http: httpx2.Client, worker: AnsweringWorker, site: Site) -> None:
    http.post("/v1/videos", files=FILE)
    answer = http.post(f"/v1/videos/{ID}/frames", json={"frames": 4})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["video"]["id"], answer.json()["frames"]) == (ID, [0.5] * 4)
    assert worker.job(answer.json()["id"]).request["frames"] == 4
    assert http.post(f"/v1/videos/{ID}/frames", json={}).json()["frames"] == [0.5]
    for body in ({"frames": 0}, {"frames": 2000}, {"model": "unknown"}, {"views": "4x3"}):
        assert http.post(f"/v1/videos/{ID}/frames", json=body).status_code in (404, 422)
    assert http.post(f"/v1/videos/vid_{'0' * 64}/frames", json={}).status_code == 404


def test_what_cannot_be_explained(http: httpx2.Client, worker: AnsweringWorker, site: Site) -> None:
    http.post("/v1/videos", files=FILE)
    refused = error(
        http.post(f"/v1/videos/{ID}/explain", json={"labels": ["boxing", "a cat"], "label": "boxin"}),
        422,
        "invalid_request",
    )
    assert refused["details"]["nearest"] == ["boxing"]
    for body in ({}, {"labels": ["a"], "views": "4x3"}, {"labels": ["a"], "frames": 0}, {"labels": ["a", "A"]}):
        assert http.post(f"/v1/videos/{ID}/explain", json=body).status_code == 422
    error(http.post(f"/v1/videos/vid_{'0' * 64}/explain", json={"labels": ["a"]}), 404, "unknown_video")
    error(http.post(f"/v1/videos/{ID}/explain", data={"labels": "a"}), 415, "unsupported_media_type")


def test_the_sheet_is_served_until_its_job_is_deleted(http: httpx2.Client, worker: AnsweringWorker, site: Site) -> None:
    http.post("/v1/videos", files=FILE)
    answer = http.post(f"/v1/videos/{ID}/explain", json={"labels": ["a"]}).json()
    url = answer["sheet"]["url"]
    error(http.get(url), 404, "not_found")  # the double draws none
    site.redis.register_script(OWN)(keys=[keys.PAYLOADS], args=[answer["id"]])
    Payloads(site.gateway.store, 1000).write_picture(answer["id"], "attention.png", b"\x89PNG")
    sheet = http.get(url)
    assert (sheet.status_code, sheet.headers["content-type"], sheet.content) == (200, "image/png", b"\x89PNG")
    assert "default-src 'none'" in sheet.headers["content-security-policy"]
    error(http.get(url.replace("attention.png", "request.json")), 404, "not_found")
    error(http.get(url.replace(answer["id"], f"job_{'0' * 24}")), 404, "unknown_job")
    site.redis.zadd(keys.FINISHED, {answer["id"]: time.time() - 2 * 3600})
    sweep(site, answer_ttl=3600)
    error(http.get(url), 404, "unknown_job")
    assert not site.gateway.store.exists(f"jobs/{answer['id']}/attention.png")


def test_a_timeline_is_a_question_with_its_options(http: httpx2.Client, worker: AnsweringWorker, site: Site) -> None:
    http.post("/v1/videos", files=FILE)
    body = {"labels": ["a", "b"], "stride": 0.5, "enter": 0.6}
    assert http.post(f"/v1/videos/{ID}/timeline", json=body).status_code == 200
    asked = worker.job(worker.seen[-1])
    assert (asked.kind, asked.request["question"]["timeline"]["stride"]) == ("classification", 0.5)
    assert asked.request["question"]["timeline"]["enter"] == 0.6
    http.post(f"/v1/videos/{ID}/classify", json={"labels": ["a"], "timeline": False})
    assert "timeline" not in worker.job(worker.seen[-1]).request["question"]  # as an earlier version wrote it
    error(http.post(f"/v1/videos/{ID}/timeline", json={"labels": ["a"], "views": "4x3"}), 422, "invalid_request")
    error(http.post(f"/v1/videos/vid_{'0' * 64}/timeline", json={"labels": ["a"]}), 404, "unknown_video")


def send(http: httpx2.Client, number: int, **fields: str) -> str:
    answer = http.post("/v1/videos", data=fields, files={"video": (f"{number}.mp4", VIDEO + bytes([number]))})
    assert answer.status_code == 201, answer.text
    video: str = answer.json()["id"]
    return video


def test_tags_and_metadata_are_set_at_upload_and_changed(http: httpx2.Client, site: Site) -> None:
    video = send(http, 1, tags='["kitchen", "night", "kitchen"]', metadata='{"camera": "3"}')
    shown = http.get(f"/v1/videos/{video}").json()
    assert (shown["tags"], shown["metadata"]) == (["kitchen", "night"], {"camera": "3"})
    changed = http.patch(f"/v1/videos/{video}", json={"tags": ["day"]}).json()
    assert (changed["tags"], changed["metadata"]) == (["day"], {"camera": "3"})
    again = http.post("/v1/videos", files={"video": VIDEO + bytes([1])}).json()
    assert (again["tags"], again["metadata"]) == (["day"], {"camera": "3"})  # what is left out stays
    bare = http.patch(f"/v1/videos/{video}", json={"tags": [], "metadata": {}}).json()
    assert (bare["tags"], bare["metadata"]) == ([], {})
    assert http.post("/v1/videos", json={"video_id": video, "tags": ["x"]}).json()["tags"] == ["x"]
    error(http.patch(f"/v1/videos/vid_{'0' * 64}", json={"tags": []}), 404, "unknown_video")
    for wrong in ({"tag": "x"}, {"tags": [" "]}, {"tags": ["x" * 65]}, {"metadata": {"a": 1}}, {"tags": "x" * 40}):
        error(http.patch(f"/v1/videos/{video}", json=wrong), 422, "invalid_request")


def test_the_list_is_filtered_by_tags(http: httpx2.Client, site: Site) -> None:
    videos = [send(http, number, tags=json.dumps(["all", f"mod {number % 3}"])) for number in range(7)]
    newest = videos[::-1]

    def listed(**params: Any) -> tuple[list[str], str | None]:
        page = http.get("/v1/videos", params=params).json()
        return [video["id"] for video in page["data"]], page["next"]

    assert listed(tag="all") == (newest, None)
    assert listed(tag="mod 0") == ([videos[6], videos[3], videos[0]], None)
    assert listed(tag=["all", "mod 1"]) == ([videos[4], videos[1]], None)
    assert listed(tag="none") == ([], None)
    first, following = listed(tag=["all", "mod 0"], limit=2)
    assert first == [videos[6], videos[3]]
    assert listed(tag=["all", "mod 0"], limit=2, cursor=following) == ([videos[0]], None)
    assert listed(limit=4)[0] == newest[:4]

    http.patch(f"/v1/videos/{videos[3]}", json={"tags": ["all"]})
    http.delete(f"/v1/videos/{videos[6]}")
    assert listed(tag="mod 0") == ([videos[0]], None)
    assert site.redis.zrange(keys.video_tag("mod 0"), 0, -1) == [videos[0].removeprefix("vid_")]


def test_a_record_of_an_earlier_version_has_no_tags(http: httpx2.Client, site: Site) -> None:
    video = send(http, 1)
    site.redis.hdel(keys.video(video.removeprefix("vid_")), "tags", "metadata")
    shown = http.get(f"/v1/videos/{video}").json()
    assert (shown["tags"], shown["metadata"]) == ([], {})


def test_a_search_is_resolved_and_checked(http: httpx2.Client, worker: AnsweringWorker, site: Site) -> None:
    worker.answer = lambda job: {"data": []} if job.kind == "search" else {"indexed": 0}
    video = send(http, 1)
    assert http.post("/v1/search", json={"text": "a cat", "filter": {"tags": ["x"]}}).json() == {"data": []}
    asked = worker.job(worker.seen[-1])
    assert (asked.kind, asked.request["text"], asked.request["filter"]["tags"]) == ("search", "a cat", ["x"])
    http.post("/v1/search", json={"video_id": video})
    assert worker.job(worker.seen[-1]).request["sha256"] == video.removeprefix("vid_")
    job = http.post("/v1/search/index", json={})
    assert (job.status_code, job.json()["kind"]) == (202, "indexing")
    for wrong in (
        {},
        {"text": "a", "video_id": video},
        {"text": " "},
        {"text": "x" * 501},
        {"text": "a", "filter": {"tag": "x"}},
        {"text": "a", "filter": {"videos": ["vid_1"]}},
        {"text": "a", "filter": {"created_after": True}},
        {"text": "a", "top_k": 0},
        {"text": "a", "templates": ["no place"]},
    ):
        error(http.post("/v1/search", json=wrong), 422, "invalid_request")
    error(http.post("/v1/search", json={"video_id": f"vid_{'0' * 64}"}), 404, "unknown_video")
    error(http.post("/v1/search", json={"text": "a", "model": "nobody"}), 404, "unknown_model")


def test_an_upload_can_ask_to_be_searchable(http: httpx2.Client, worker: AnsweringWorker, site: Site) -> None:
    worker.answer = lambda _: {"indexed": 1}
    kept = http.post("/v1/videos", data={"index": "true"}, files=FILE).json()
    found = worker.job(kept["index_job"])
    assert (found.kind, found.request["filter"]["videos"]) == ("indexing", [ID])
    wait_until(lambda: kept["index_job"] in worker.seen)  # it was sent, and is not left to the reaper
    assert http.post("/v1/videos", files=FILE).json()["index_job"] is None
