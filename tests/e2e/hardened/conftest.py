from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import tiny
from tests.e2e.contract.furniture import Furniture, furnish
from tests.e2e.hardened import planted
from tests.e2e.hardened.containers import Containers, containers
from tests.e2e.stack import Stack
from tests.s3 import S3


@pytest.fixture(scope="session")
def hardened(tmp_path_factory: pytest.TempPathFactory, s3_server: S3) -> Iterator[Containers]:
    folder = tmp_path_factory.mktemp("hardened")
    tiny.place(folder / "data")
    with containers(folder, planted.environment(folder, s3_server)) as running:
        yield running


@pytest.fixture(scope="session")
def stack(hardened: Containers) -> Stack:
    return hardened.stack


@pytest.fixture(scope="session")
def furniture(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Furniture:
    """One of everything: videos, label sets, feedback, a dataset, a trained model, jobs of each kind."""
    return furnish(stack, tmp_path_factory.mktemp("furniture"))
