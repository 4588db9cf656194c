"""`python -m worker.datasets.archives.unpack_child ARCHIVE FOLDER LIMITS PIPE`: the process that meets an untrusted archive.

It imports little, may use little, and dies with the worker that started it. `worker.datasets.archives.extraction` is the other end.
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
from worker.datasets.archives.folder import UnpackLimits
from worker.datasets.archives.unpack import unpack_here

_OPEN_FILES = 32
_FAILED = 70  # exit status: not 1, which is an interpreter's that could not even import this


def main(archive: str, folder: str, limits_json: str, pipe: str) -> None:
    limits = UnpackLimits(**json.loads(limits_json))
    confine(limits)
    sender = Connection(int(pipe), readable=False)

    def tell(message: dict[str, Any]) -> None:
        sender.send_bytes(json.dumps(message).encode())

    try:
        unpack_here(Path(archive), Path(folder), limits, tell)
        tell({"done": True})
    except VireoError as error:
        tell({"error": error.to_dict()})
    except Exception:
        traceback.print_exc()  # to the worker's log
        sys.exit(_FAILED)


def confine(limits: UnpackLimits) -> None:
    die_with_parent()
    limit_resources(
        {
            resource.RLIMIT_AS: limits.memory_bytes,
            resource.RLIMIT_CORE: 0,
            resource.RLIMIT_FSIZE: limits.max_bytes,
            resource.RLIMIT_NOFILE: _OPEN_FILES,
        }
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
