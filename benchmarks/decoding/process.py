"""A reader in a process of its own, asked line by line."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import av


class Cost(NamedTuple):
    """Seconds for one file."""

    cpu: float
    wall: float


class ReaderProcess:
    """Use it as a context manager. libraries: folders of shared libraries that it finds first."""

    def __init__(self, name: str, python: Path, libraries: str | None = None) -> None:
        self.name = name
        environment = os.environ | ({} if libraries is None else {"LD_LIBRARY_PATH": libraries})
        command = [str(python), "-m", "benchmarks.decoding.readers", name]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def ask(self, path: Path, frames: int, width: int, height: int) -> Cost:
        """width, height: of the file. Raises: RuntimeError if the process ended."""
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps([str(path), frames, width, height]), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the reader {self.name} ended with status {self._process.wait()}")
        return Cost(*json.loads(line))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()  # it ends with its input


def ffmpeg_of_pyav(folder: Path) -> str:
    """Folders in which PyAV's FFmpeg is found by the usual names of its libraries, which the wheel has changed."""
    bundled = Path(av.__file__).parents[1] / "av.libs"
    folder.mkdir(parents=True, exist_ok=True)
    for library in (*bundled.glob("libav*"), *bundled.glob("libsw*")):
        usual = re.sub(r"-[0-9a-f]{8}(\.so\.\d+).*", r"\1", library.name)
        (folder / usual).symlink_to(library)
    return f"{folder}:{bundled}"
