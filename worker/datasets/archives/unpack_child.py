"""`python -m worker.datasets.archives.unpack_child ARCHIVE FOLDER LIMITS PIPE`: unpacks one untrusted archive.

It imports little. It can read the archive and write into the folder, it has no network and starts no process, its
resources are limited, and it dies with the worker that started it. `extraction` starts it and reads the other end of
the pipe.
"""

from __future__ import annotations

import json
import resource
import sys
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from core.errors import VireoError
from core.processes import die_with_parent, limit_resources
from worker.children.confinement import confine_reader
from worker.datasets.archives.folder import UnpackLimits
from worker.datasets.archives.unpack import unpack_entries

_OPEN_FILES = 32
_FAILED = 70  # exit status; 1 is that of an interpreter that could not import this module


def main(archive: str, folder: str, limits_json: str, pipe: str) -> None:
    limits = UnpackLimits(**json.loads(limits_json))
    limit_unpack_child(limits)
    confine_reader([Path(archive)], [Path(folder)])
    sender = Connection(int(pipe), readable=False)

    def notify(message: dict[str, Any]) -> None:
        sender.send_bytes(json.dumps(message).encode())

    try:
        unpack_entries(Path(archive), Path(folder), limits, notify)
        notify({"done": True})
    except VireoError as error:
        notify({"error": error.to_dict()})
    except Exception:
        traceback.print_exc()  # to the worker's log
        sys.exit(_FAILED)


def limit_unpack_child(limits: UnpackLimits) -> None:
    die_with_parent()
    limit_resources(
        {
            resource.RLIMIT_AS: limits.memory_bytes,
            resource.RLIMIT_CORE: 0,
            resource.RLIMIT_FSIZE: limits.max_bytes,
            resource.RLIMIT_NOFILE: _OPEN_FILES,
            resource.RLIMIT_NPROC: 0,  # it has no threads either; root is exempt
        }
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
