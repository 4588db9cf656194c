"""Requests to an S3 store for one question that names a fine-tuned model of 30 versions: in the gateway, which resolves
the reference, and in the worker, which has the version loaded.

The store is moto's server on this machine, which counts the requests. Requests are what a store charges for, and each
takes 10 to 50 ms. Expected before it was built: one request in each process, for any number of versions.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.report import Row, report
from core.registry import Registry
from core.settings import Settings
from core.storage import Store
from service.catalog.models import Models
from tests.s3 import S3, serving_s3
from tests.service.library import card
from worker.inference.loading.shelf import Shelf

VERSIONS = 30


def main() -> bool:
    with tempfile.TemporaryDirectory(prefix="vireo-bench-") as folder, serving_s3() as s3:
        os.environ.update(s3.environment)
        store = Store(s3.url("bench"), Path(folder) / "spool")
        for version in range(1, VERSIONS + 1):
            store.write_text(f"registry/gym/{version}/card.json", card("gym", version).model_dump_json())
        Registry(store).set_alias("gym", "production", 3)
        absent: Any = None  # what resolving an exact reference does not use
        models = Models(Registry(store), live_workers=absent, jobs=absent, aliases=absent, default="lite", house=absent)
        shelf = Shelf(Settings(data_dir=Path(folder)), Registry(store), default=absent)
        rows = []
        for what, ref in (("a number", "gym:3"), ("a name", "gym"), ("an alias", "gym@production")):
            first, again = (_count(s3, partial(_resolve, models, ref)) for _ in range(2))
            rows += [
                _row(f"gateway, {what}", first, 1 if ref == "gym:3" else None),
                _row(f"gateway, {what}, again within two seconds", again, 1),
            ]
        rows.append(_row("worker, a number", _count(s3, lambda: shelf._exact("gym:3")), 1))
    return report("store_requests", rows)


def _resolve(models: Models, ref: str) -> None:
    asyncio.run(models.resolve(ref, live=[]))


def _row(what: str, requests: int, most: int | None) -> Row:
    claim = "" if most is None else f"at most {most}"
    return Row(what, requests, "", claim, None if most is None else requests <= most)


def _count(s3: S3, ask: Callable[[], object]) -> int:
    s3.requests.clear()
    ask()
    return len(s3.requests)


if __name__ == "__main__":
    sys.exit(not main())
