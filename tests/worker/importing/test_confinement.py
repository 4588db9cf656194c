"""From inside the real child that reads a checkpoint, after it has loaded torch."""

from __future__ import annotations

import socket
from pathlib import Path

from tests.worker.children.attempts import REFUSED, plant, run_child
from worker.importing.spec import ImportSpec

SCRIPT = """
import sys, threading
from worker.importing import import_child
def attack(spec):
    import torch
    torch.ones(400, 400) @ torch.ones(400, 400)  # its threads are there, too
    try_all(sys.argv[2], str(spec.output), int(sys.argv[3]))
    assert spec.file.read_bytes() == b"the checkpoint"
    return {}
import_child.read = attack
sys.exit(import_child.main())
"""


def test_the_child_reaches_nothing_but_its_file_and_its_folder(tmp_path: Path) -> None:
    secret, output = plant(tmp_path), tmp_path / "output"
    output.mkdir()
    (tmp_path / "upload").write_bytes(b"the checkpoint")
    spec = ImportSpec(
        file=tmp_path / "upload",
        filename="a.pt",
        output=output,
        base=None,
        temporal=None,
        frames=None,
        data_dir=tmp_path / "data",
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        run_child(SCRIPT, output, spec.model_dump_json(), secret, server.getsockname()[1])
    assert (output / "outcome").read_text() == REFUSED
