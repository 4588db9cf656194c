from __future__ import annotations

import resource

import pytest

from worker.importing import import_child


def test_the_memory_and_the_files_of_the_child_are_bounded_by_the_size_of_the_upload(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits: dict[int, int] = {}
    monkeypatch.setattr(import_child, "limit_resources", limits.update)
    import_child._limit_process(1000)
    assert limits == {
        resource.RLIMIT_AS: (8 << 30) + 8 * 1000,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: (64 << 20) + 4 * 1000,
        resource.RLIMIT_NOFILE: 256,
    }
