"""What all tasks of one worker process share. It is opened once and closed once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from core.calibration.shelf import Calibrations
from core.projects import DEFAULT_PROJECT
from core.questions import TimelineLimits
from core.registry import Registry
from core.settings import Settings
from core.storage import Store
from worker.decoding.pool import DecodePool
from worker.inference.batches.objects import ObjectVideos
from worker.inference.caches.classifiers import ClassifierCache
from worker.inference.caches.features import VideoCache
from worker.inference.caches.remote import TIMEOUT, RemoteCache
from worker.inference.caches.windows import WindowIndexes
from worker.inference.loading.default_model import DefaultModel
from worker.inference.loading.shelf import Shelf
from worker.inference.videos.facts import VideoBook
from worker.inference.videos.url_videos import UrlVideos
from worker.jobs.connection import connect
from worker.jobs.metering import Metering

_VIEWS = 1000  # projects whose views are kept


@dataclass(slots=True)
class Runtime:
    """As the jobs of one project see it: with that project's videos, models and caches."""

    store: Store
    shelf: Shelf
    calibrations: Calibrations
    decoders: DecodePool
    classifiers: ClassifierCache
    videos: VideoCache
    book: VideoBook
    url_videos: UrlVideos
    object_videos: ObjectVideos
    max_texts: int  # of one question
    timeline: TimelineLimits
    indexes: WindowIndexes
    metering: Metering
    beside: ThreadPoolExecutor
    """Threads for what goes on while a job's own thread waits for a decoder."""
    project: str = DEFAULT_PROJECT
    _views: dict[str, Runtime] = field(default_factory=dict)
    """As other projects see it. All views have this dictionary."""

    @classmethod
    def open(cls, settings: Settings, progress: Callable[[str], None]) -> Runtime:
        client = connect(settings.cache_redis, decode=False, patient=False, timeout=TIMEOUT)
        cache = RemoteCache(client, settings.cache_ttl)
        store = Store.from_settings(settings)
        records = connect(settings.jobs_redis, decode=True, patient=False)
        book = VideoBook(records, store, settings.video_ttl)
        return cls(
            store=store,
            shelf=Shelf(settings, Registry(store), DefaultModel(records, settings), progress),
            calibrations=Calibrations(store),
            decoders=DecodePool.from_settings(settings),
            classifiers=ClassifierCache(cache),
            videos=VideoCache(cache, book.is_stored),
            book=book,
            url_videos=UrlVideos(settings, store, book),
            object_videos=ObjectVideos(settings, store, book),
            max_texts=settings.max_texts,
            metering=Metering(records),
            beside=ThreadPoolExecutor(settings.worker_threads, "beside"),
            indexes=WindowIndexes(settings.max_search_windows),
            timeline=TimelineLimits(
                stride=settings.timeline_stride,
                window=settings.timeline_window,
                points=settings.max_timeline_points,
                values=settings.max_timeline_values,
            ),
        )

    def of(self, project: str) -> Runtime:
        """What the jobs of another project see. It has the same threads, models in memory, and room for caches."""
        if project == self.project:
            return self
        if (view := self._views.get(project)) is None:
            if len(self._views) >= _VIEWS:
                self._views.clear()
            view = self._views.setdefault(project, self._view(project))
        return view

    def _view(self, project: str) -> Runtime:
        store, book = self.store.of(project), self.book.of(project)
        return replace(
            self,
            project=project,
            store=store,
            shelf=self.shelf.of(project),
            calibrations=Calibrations(store),
            classifiers=self.classifiers.of(project),
            videos=self.videos.of(project),
            book=book,
            url_videos=self.url_videos.of(book),
            object_videos=self.object_videos.of(book),
        )

    def close(self) -> None:
        self.url_videos.close()
        self.decoders.close()
        self.beside.shutdown(wait=False, cancel_futures=True)
        self.shelf.close()
