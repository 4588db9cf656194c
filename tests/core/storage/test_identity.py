from __future__ import annotations

from pathlib import Path

from core.storage import Store
from core.storage.identity import store_id


def test_a_store_has_one_id_wherever_it_is_opened(tmp_path: Path) -> None:
    first = store_id(Store((tmp_path / "a").as_uri(), tmp_path / "spool"))
    assert first.startswith("store_")
    assert store_id(Store((tmp_path / "a").as_uri(), tmp_path / "spool")) == first
    assert store_id(Store((tmp_path / "b").as_uri(), tmp_path / "spool")) != first
