from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.stack import Stack, copy_of, running


@pytest.fixture(scope="session")
def stack(lite_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(copy_of(lite_dir, tmp_path_factory.mktemp("vireo")), {"VIREO_ALLOWED_HOSTS": "localhost"}) as stack:
        yield stack
