"""Methods of the client for videos: questions about them, and the videos that a server stores."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx2

from vireo.answers import connection_errors, read_answer
from vireo.connection import Connection, without_none
from vireo.transfers import TransferProgress, json_lines

TIMELINE_FIELDS = ("stride", "window", "enter", "leave")


class VideoMethods(Connection):
    """Everything that is about a video."""

    def classify(
        self,
        video: str | Path,
        labels: Sequence[str] = (),
        *,
        progress: TransferProgress | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """Score a video against labels; waits for as long as the job takes.

        `video`: a file, an http(s) URL, or the id of a stored video. `options`: the fields of POST /v1/classify.
        Raises: VireoError.
        """
        fields = ({"labels": list(labels)} if labels else {}) | without_none(options)
        return self._wait(self._send_video("/v1/classify", video, fields, progress))

    def explain(
        self,
        video: str | Path,
        labels: Sequence[str] = (),
        *,
        label: str | None = None,
        sheet: str | Path | None = None,
        progress: TransferProgress | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """Why a label gets its score: what each frame adds, and where the image tower looks.

        `video`: as for `classify`; a file or URL is classified first, which stores it for a while. `label`: the one to
        explain; None for the one with the highest score. `sheet`: where to write the attention sheet, a PNG; nothing is
        written if the model has none (`answer["sheet"]` is None). `options`: the other fields of POST
        /v1/videos/{id}/explain. Raises: VireoError.
        """
        stored = str(video)
        if not stored.startswith("vid_"):
            stored = self.classify(video, labels, progress=progress, **options)["video"]["id"]
        fields = ({"labels": list(labels)} if labels else {}) | without_none(options | {"label": label})
        answer = self._wait(self._post(f"/v1/videos/{stored}/explain", json=fields))
        if sheet is not None and answer["sheet"]:
            self._download(answer["sheet"]["url"], Path(sheet))
        return answer

    def timeline(
        self,
        video: str | Path,
        labels: Sequence[str] = (),
        *,
        progress: TransferProgress | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """When each label is seen: the answer of `classify`, with its similarities over time and its segments in
        `timeline`.

        `video`: as for `classify`. `options`: the fields of POST /v1/videos/{id}/timeline, such as `stride`. A stored
        video that is asked again is not decoded again. Raises: VireoError.
        """
        given = without_none(options)
        if str(video).startswith("vid_"):
            fields = {"labels": list(labels)} if labels else {}
            return self._wait(self._post(f"/v1/videos/{video}/timeline", json=fields | given))
        own = {name: given.pop(name) for name in TIMELINE_FIELDS if name in given}
        return self.classify(video, labels, progress=progress, timeline=own or True, **given)

    def keep(
        self,
        video: str | Path,
        *,
        tags: Sequence[str] | None = None,
        metadata: Mapping[str, str] | None = None,
        progress: TransferProgress | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """Store a video until it is deleted, and return its record.

        `video`: as for `classify`. `tags`, `metadata`: what it has stays if they are None. `options`: the other fields
        of POST /v1/videos. Raises: VireoError.
        """
        given = {"tags": None if tags is None else list(tags), "metadata": None if metadata is None else dict(metadata)}
        fields = without_none(options | given)
        return read_answer(self._send_video("/v1/videos", video, fields, progress))

    def videos(self, *tags: str, limit: int = 100, order: str | None = None) -> list[dict[str, Any]]:
        """The stored videos that have all `tags`, newest first; at most `limit`. `order`: `uncertainty` for those whose
        last answer is the least certain, first; each has it in `answer`. Raises: VireoError."""
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while len(found) < limit:
            page = self._page(tags, order, min(limit - len(found), 1000), cursor)
            found += page["data"]
            cursor = page["next"]
            if cursor is None:
                break
        return found

    def _page(self, tags: Sequence[str], order: str | None, limit: int, cursor: str | None) -> dict[str, Any]:
        params: dict[str, Any] = without_none({"tag": list(tags), "order": order, "limit": limit, "cursor": cursor})
        return read_answer(self._send(lambda: self._http.get("/v1/videos", params=params)))

    def describe(
        self, video: str, *, tags: Sequence[str] | None = None, metadata: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Set the tags or the metadata of a stored video; None stays. Raises: VireoError."""
        body = without_none(
            {"tags": None if tags is None else list(tags), "metadata": None if metadata is None else dict(metadata)}
        )
        return read_answer(self._send(lambda: self._http.patch(f"/v1/videos/{video}", json=body)))

    def search(
        self,
        text: str | None = None,
        *,
        video: str | None = None,
        tags: Sequence[str] = (),
        top_k: int | None = None,
        model: str | None = None,
        **filters: Any,
    ) -> dict[str, Any]:
        """Stored videos that show what `text` says, or that resemble the stored `video`: `data`, the most similar
        first, and how many of the `stored` videos were `searched`. `filters`: the other fields of `filter` in POST
        /v1/search. Raises: VireoError."""
        wanted = without_none(filters | {"tags": list(tags)})
        body = without_none({"text": text, "video_id": video, "top_k": top_k, "model": model, "filter": wanted})
        return self._wait(self._post("/v1/search", json=body))

    def index(self, *, tags: Sequence[str] = (), model: str | None = None, **filters: Any) -> dict[str, Any]:
        """Start the job that makes stored videos searchable, and return it. Raises: VireoError."""
        wanted = without_none(filters | {"tags": list(tags)})
        return read_answer(self._post("/v1/search/index", json=without_none({"model": model, "filter": wanted})))

    def batch(
        self, videos: str | Path | Sequence[str | Mapping[str, str]], labels: Sequence[str] = (), **options: Any
    ) -> dict[str, Any]:
        """Start the job that asks one question about many videos, and return it.

        `videos`: a manifest file (JSONL or CSV), or ids of stored videos, http(s) URLs, `s3://` URLs, or items with an
        `id` of your own. `options`: the other fields of POST /v1/batches. Raises: VireoError.
        """
        fields = ({"labels": list(labels)} if labels else {}) | without_none(options)
        if isinstance(videos, str | Path):
            return read_answer(self._upload("/v1/batches", "manifest", Path(videos), fields, None))
        items = [_item(video) if isinstance(video, str) else dict(video) for video in videos]
        return read_answer(self._post("/v1/batches", json=fields | {"items": items}))

    def batch_rows(self, job_id: str) -> Iterator[dict[str, Any]]:
        """The rows of a batch that are ready, in the order of its manifest. Raises: VireoError."""
        with connection_errors(self.url), self._http.stream("GET", f"/v1/batches/{job_id}/results") as answer:
            if answer.is_error:
                answer.read()
                read_answer(answer)
            for line in json_lines(answer.iter_text()):
                yield json.loads(line)

    def save_batch(self, job_id: str, target: str | Path) -> None:
        """Write the rows of a batch that are ready into a file: CSV if its name ends so, else JSONL. Raises:
        VireoError."""
        kind = "csv" if Path(target).suffix.lower() == ".csv" else "jsonl"
        self._download(f"/v1/batches/{job_id}/results?format={kind}", Path(target))

    def _send_video(
        self, route: str, video: str | Path, fields: dict[str, Any], progress: TransferProgress | None
    ) -> httpx2.Response:
        """`video`: a file, an http(s) URL, or the id of a stored video."""
        if str(video).startswith(("http://", "https://")):
            return self._post(route, json=fields | {"video_url": str(video)})
        if str(video).startswith("vid_"):
            return self._post(route, json=fields | {"video_id": str(video)})
        return self._upload(route, "video", Path(video), fields, progress)


def _item(video: str) -> dict[str, str]:
    if video.startswith("vid_"):
        return {"video_id": video}
    return {"s3" if video.startswith("s3://") else "video_url": video}
