"""From inside the real child that unpacks an archive."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict
from pathlib import Path

from tests.worker.children.attempts import REFUSED, plant, run_child
from worker.datasets.archives.folder import UnpackLimits

SCRIPT = """
import sys
from worker.datasets.archives import unpack_child
def attack(archive, into, limits, notify):
    try_all(sys.argv[5], str(into), int(sys.argv[6]))
unpack_child.unpack_entries = attack
unpack_child.main(*sys.argv[1:5])
"""


def test_the_child_reaches_nothing_but_its_archive_and_its_folder(tmp_path: Path) -> None:
    secret, folder = plant(tmp_path), tmp_path / "into"
    folder.mkdir()
    (tmp_path / "upload").write_bytes(b"")
    limits = json.dumps(asdict(UnpackLimits(max_bytes=1 << 20, max_files=10)))
    receiver, sender = os.pipe()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        run_child(SCRIPT, folder, tmp_path / "upload", folder, limits, sender, secret, port, pass_fds=(sender,))
    os.close(receiver)
    os.close(sender)
    assert (folder / "outcome").read_text() == REFUSED
