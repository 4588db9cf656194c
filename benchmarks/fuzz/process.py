"""One target under atheris. libFuzzer ends the process itself, so `benchmarks.fuzzing` starts one for each target.

    python -m benchmarks.fuzz.process TARGET CRASHES [FLAG OF LIBFUZZER…] [FOLDER…]

An input that makes the target fail is written to the folder CRASHES, and the process ends with status 77.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
import traceback
from importlib import import_module
from pathlib import Path

import atheris  # type: ignore[import-untyped]

CRASHED = 77
_INSTRUMENTED = [
    "tarfile",
    "zipfile",
    "csv",
    "service",
    "core",
    "worker",
    "python_multipart",
    "starlette.responses",
    "httpx2._urlparse",
    "httpx2._urls",
    "ipaddress",
]


def main(target: str, crashes: Path, arguments: list[str]) -> None:
    with atheris.instrument_imports(include=_INSTRUMENTED):
        targets = import_module("benchmarks.fuzz.targets")
    logging.disable()

    def test(data: bytes) -> None:
        try:
            targets.run(target, data)
        except BaseException:
            traceback.print_exc()
            crashes.mkdir(parents=True, exist_ok=True)
            (crashes / f"{target}-{hashlib.sha256(data).hexdigest()[:12]}").write_bytes(data)
            sys.stderr.flush()
            os._exit(CRASHED)  # libFuzzer's own way out waits for ever at some of them

    atheris.Setup([target, *arguments], test)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
