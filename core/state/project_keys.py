"""The names of the Redis keys that belong to one project. Those of the default project are `core.state.keys`; another
project has the same names below `vireo:project:<project>:`. Whatever a project owns is reached through this module only
(`tests/core/state/test_project_keys.py`).

Records of jobs and what follows from them, such as events, are no part of it: the ids of jobs are random, and the
record says which project it belongs to.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.projects import DEFAULT_PROJECT
from core.state import keys


@dataclass(frozen=True, slots=True)
class ProjectKeys:
    project: str = DEFAULT_PROJECT

    @property
    def jobs(self) -> str:
        return self._own(keys.JOBS)

    @property
    def videos(self) -> str:
        return self._own(keys.VIDEOS)

    @property
    def videos_created(self) -> str:
        return self._own(keys.VIDEOS_CREATED)

    @property
    def videos_uncertain(self) -> str:
        return self._own(keys.VIDEOS_UNCERTAIN)

    @property
    def videos_leaving(self) -> str:
        return self._own(keys.VIDEOS_LEAVING)

    @property
    def all_feedback(self) -> str:
        return self._own(keys.FEEDBACK)

    @property
    def label_sets(self) -> str:
        return self._own(keys.LABEL_SETS)

    @property
    def label_set_versions(self) -> str:
        return self._own(keys.LABEL_SET_VERSIONS)

    @property
    def model_versions(self) -> str:
        return self._own(keys.model_versions())

    def idempotency(self, key_digest: str) -> str:
        return self._own(keys.idempotency(key_digest))

    def video(self, sha256: str) -> str:
        return self._own(keys.video(sha256))

    def video_tag(self, tag: str) -> str:
        return self._own(keys.video_tag(tag))

    def video_deleting(self, sha256: str) -> str:
        return self._own(keys.video_deleting(sha256))

    def feedback(self, feedback_id: str) -> str:
        return self._own(keys.feedback(feedback_id))

    def feedback_history(self, feedback_id: str) -> str:
        return self._own(keys.feedback_history(feedback_id))

    def feedback_of_video(self, sha256: str) -> str:
        return self._own(keys.feedback_of_video(sha256))

    def feedback_of_label(self, label: str) -> str:
        return self._own(keys.feedback_of_label(label))

    def label_set(self, name: str) -> str:
        return self._own(keys.label_set(name))

    def alias_lock(self, name: str) -> str:
        return self._own(keys.alias_lock(name))

    def shadow_counts(self, name: str, alias: str) -> str:
        return self._own(keys.shadow_counts(name, alias))

    def shadow_differences(self, name: str, alias: str) -> str:
        return self._own(keys.shadow_differences(name, alias))

    def _own(self, name: str) -> str:
        if self.project == DEFAULT_PROJECT:
            return name
        return f"vireo:project:{self.project}:{name.removeprefix('vireo:')}"
