from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from safetensors.torch import save_file

from tests import tiny
from tests.e2e.stack import Stack, running
from tests.models.official import CONFIG, tiny_model

ENVIRONMENT = {"VIREO_MODEL": "tiny", "OMP_NUM_THREADS": "1", "VIREO_LEASE_SECONDS": "4", "VIREO_LOG_FORMAT": "json"}


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    data_dir = tmp_path_factory.mktemp("tiny") / "data"
    tiny.place(data_dir)
    save_file(dict(tiny_model(seed=7).state_dict()), data_dir / "weights" / "official.safetensors")
    card = {"like": "clip-b16", "architecture": CONFIG, "profile": {"size": 32, "short_side": 36}}
    (data_dir / "weights" / "official.json").write_text(json.dumps(card))
    with running(data_dir, ENVIRONMENT) as stack:
        yield stack
