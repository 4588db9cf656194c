from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import signal
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.hostile_archives import pack_tar, pack_zip
from core.errors import Cancelled, InvalidArchive, StorageUnavailable, WorkerUnavailable
from worker.datasets.archives import extraction, unpack
from worker.datasets.archives.extraction import UnpackedArchive, unpack_archive
from worker.datasets.archives.folder import UnpackLimits
from worker.datasets.archives.unpack import unpack_entries
from worker.jobs.cancellation import CancelToken

FILES = [("jump/a.mp4", b"a" * 1000), ("jump/b.mp4", b""), ("wave arms/ü.mp4", bytes(range(256)) * 9)]
LIMITS = UnpackLimits(max_bytes=1 << 30, max_files=1000)
CHILD = Path(*extraction._CHILD.split(".")).with_suffix(".py")  # in a project tree


def run(data: bytes, folder: Path, limits: UnpackLimits = LIMITS, token: CancelToken | None = None) -> UnpackedArchive:
    (folder / "into").mkdir()
    (folder / "upload").write_bytes(data)
    return unpack_archive(folder / "upload", folder / "into", limits, token or CancelToken(), lambda _: None)


def reason(data: bytes, folder: Path, limits: UnpackLimits = LIMITS) -> str:
    with pytest.raises(InvalidArchive) as error:
        run(data, folder, limits)
    assert error.value.message
    return str(error.value.details["reason"])


@pytest.mark.parametrize(
    "pack",
    [
        pack_zip,
        lambda files: pack_zip(files, zipfile.ZIP_LZMA),
        pack_tar,
        lambda files: gzip.compress(pack_tar(files)),
        lambda files: bz2.compress(pack_tar(files)),
        lambda files: lzma.compress(pack_tar(files)),
    ],
    ids=["zip", "zip-lzma", "tar", "gz", "bz2", "xz"],
)
def test_formats_are_recognised_by_content(pack: Callable[[list[tuple[str, bytes]]], bytes], tmp_path: Path) -> None:
    unpacked = run(pack(FILES), tmp_path)
    assert [(file.path, file.location.read_bytes()) for file in unpacked.files] == FILES
    assert [file.sha256 for file in unpacked.files] == [hashlib.sha256(data).hexdigest() for _, data in FILES]
    assert sorted(path.name for path in (tmp_path / "into").iterdir()) == ["000000", "000001", "000002"]


@pytest.mark.skipif(sys.version_info < (3, 14), reason="zstd comes with Python 3.14")
def test_zstd(tmp_path: Path) -> None:
    from compression import zstd  # type: ignore[import-not-found, unused-ignore]

    assert len(run(zstd.compress(pack_tar(FILES)), tmp_path).files) == 3


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="zstd comes with Python 3.14")
def test_zstd_is_refused_where_python_cannot_read_it(tmp_path: Path) -> None:
    assert reason(b"\x28\xb5\x2f\xfd" + bytes(100), tmp_path) == "unsupported_format"


def test_names_in_utf8_without_the_flag(tmp_path: Path) -> None:
    """The macOS Finder packs them like this."""
    data = bytearray(pack_zip([("Café/ä.mp4", b"x")]))
    for magic, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(magic) + at + 1] &= ~0x08
    assert run(bytes(data), tmp_path).files[0].path == "Café/ä.mp4"


def test_system_files_are_not_unpacked(tmp_path: Path) -> None:
    unpacked = run(pack_zip([*FILES, ("__MACOSX/jump/._a.mp4", b"x"), ("jump/.DS_Store", b"x")]), tmp_path)
    assert len(unpacked.files) == 3
    assert unpacked.ignored == ("__MACOSX/jump/._a.mp4", "jump/.DS_Store")


def test_empty_archives_are_archives(tmp_path: Path) -> None:
    for number, data in enumerate((pack_zip([]), pack_tar([]), gzip.compress(pack_tar([])))):
        (tmp_path / str(number)).mkdir()
        assert run(data, tmp_path / str(number)) == UnpackedArchive((), ())


def test_a_bomb_is_stopped_by_its_ratio(tmp_path: Path) -> None:
    limits = UnpackLimits(max_bytes=1 << 40, max_files=10, free_bytes=1 << 20)
    assert reason(pack_zip([("a", bytes(8 << 20))]), tmp_path, limits) == "bomb"
    assert sum(path.stat().st_size for path in (tmp_path / "into").iterdir()) <= 2 << 20


def test_a_bomb_in_a_header_is_stopped_by_the_memory_limit(tmp_path: Path) -> None:
    """A long name is read at once, before its bytes can be counted."""
    header = tarfile.TarInfo("././@LongLink")
    header.size, header.type = 128 << 20, tarfile.GNUTYPE_LONGNAME
    limits = UnpackLimits(max_bytes=1 << 40, max_files=10, free_bytes=1 << 40, memory_bytes=96 << 20)
    data = gzip.compress(header.tobuf(tarfile.GNU_FORMAT) + bytes(128 << 20), 1)
    assert reason(data, tmp_path, limits) == "memory"


def test_limits_of_size_and_number(tmp_path: Path) -> None:
    for number, (limits, expected) in enumerate(
        [
            (UnpackLimits(max_bytes=2000, max_files=10), "too_large"),
            (UnpackLimits(max_bytes=1 << 20, max_files=2), "too_many_files"),
        ]
    ):
        for kind, pack in (("zip", pack_zip), ("tar", pack_tar)):
            folder = tmp_path / f"{number}{kind}"
            folder.mkdir()
            assert reason(pack(FILES), folder, limits) == expected


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.8])
@pytest.mark.parametrize("pack", [pack_zip, pack_tar, lambda files: gzip.compress(pack_tar(files))])
def test_an_incomplete_archive_is_refused(
    keep: float, pack: Callable[[list[tuple[str, bytes]]], bytes], tmp_path: Path
) -> None:
    files = [(f"{i}.mp4", os.urandom(20_000)) for i in range(4)]
    data = pack(files)
    assert reason(data[: int(len(data) * keep)], tmp_path) == "truncated"


def test_a_tar_that_ends_between_two_entries_is_refused(tmp_path: Path) -> None:
    """The library takes this for the end of the archive."""
    whole = pack_tar([("a", bytes(512)), ("b", bytes(512))])
    assert reason(whole[: 2 * 1024], tmp_path) == "truncated"


def test_a_broken_header_in_the_middle_is_refused(tmp_path: Path) -> None:
    data = bytearray(pack_tar([("a", bytes(512)), ("b", bytes(512))]))
    data[1024 + 3] ^= 0xFF
    assert reason(bytes(data), tmp_path) == "damaged"


def test_flipped_bytes_under_gzip_are_noticed(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(pack_tar([("a", os.urandom(5000))]), 0))
    data[2000] ^= 1
    assert reason(bytes(data), tmp_path) == "damaged"


def test_a_compressed_file_that_is_no_tar(tmp_path: Path, clips: list[bytes]) -> None:
    assert reason(gzip.compress(clips[0]), tmp_path) == "not_an_archive"


def test_hardlinks_and_fifos(tmp_path: Path) -> None:
    for kind, expected in ((tarfile.LNKTYPE, "link"), (tarfile.SYMTYPE, "link"), (tarfile.FIFOTYPE, "special_file")):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            info = tarfile.TarInfo("a.mp4")
            info.type, info.linkname = kind, "b.mp4"
            archive.addfile(info)
        folder = tmp_path / f"{kind!r}"
        folder.mkdir()
        assert reason(out.getvalue(), folder) == expected


class SlowChild:
    """A good archive, and a child that sleeps instead of unpacking it."""

    def __init__(self, folder: Path) -> None:
        self.into = folder / "into"
        self.into.mkdir()
        self.archive = folder / "upload"
        self.archive.write_bytes(pack_tar(FILES))

    def child(self) -> int:
        """Waits for the child and returns its process id."""
        for _ in range(200):
            for entry in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    command = entry.read_bytes()
                except OSError:
                    continue
                if str(self.into).encode() in command:
                    return int(entry.parent.name)
            time.sleep(0.02)
        raise TimeoutError("no child has started")


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SlowChild:
    child = tmp_path / "project" / CHILD
    child.parent.mkdir(parents=True)
    child.write_text("import time\ntime.sleep(3600)\n")
    monkeypatch.setattr("worker.datasets.archives.extraction._PROJECT", tmp_path / "project")
    return SlowChild(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV])
def test_a_child_that_dies_refuses_the_archive(slow: SlowChild, how: signal.Signals) -> None:
    threading.Thread(target=lambda: os.kill(slow.child(), how), daemon=True).start()
    with pytest.raises(InvalidArchive) as error:
        unpack_archive(slow.archive, slow.into, LIMITS, CancelToken(), lambda _: None)
    assert error.value.details["reason"] == "crashed"


def test_a_child_that_stalls_is_killed(slow: SlowChild) -> None:
    limits = UnpackLimits(max_bytes=1 << 30, max_files=10, stall_seconds=0.3)
    with pytest.raises(InvalidArchive) as error:
        unpack_archive(slow.archive, slow.into, limits, CancelToken(), lambda _: None)
    assert error.value.details["reason"] == "deadline"


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_cancelling_kills_the_child(slow: SlowChild) -> None:
    token = CancelToken()

    def cancel() -> None:
        slow.child()
        token.cancel()

    threading.Thread(target=cancel, daemon=True).start()
    with pytest.raises(Cancelled):
        unpack_archive(slow.archive, slow.into, LIMITS, token, lambda _: None)


def test_a_worker_that_cannot_unpack_does_not_blame_the_archive(slow: SlowChild, tmp_path: Path) -> None:
    (tmp_path / "project" / CHILD).write_text("import nothing_of_that_name")
    with pytest.raises(WorkerUnavailable):
        unpack_archive(slow.archive, slow.into, LIMITS, CancelToken(), lambda _: None)


def test_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(run(pack_zip(FILES), Path()).files) == 3


def test_a_failed_write_does_not_blame_the_archive(tmp_path: Path) -> None:
    """The folder is gone, so writing fails. The archive itself is good."""
    (tmp_path / "upload").write_bytes(pack_zip(FILES))
    with pytest.raises(StorageUnavailable):
        unpack_entries(tmp_path / "upload", tmp_path / "nowhere", LIMITS, lambda _: None)


def test_every_exception_of_the_libraries_refuses_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "upload").write_bytes(pack_zip(FILES))
    for kind in (*unpack._DAMAGE, OSError, EOFError, MemoryError):

        def fail(*_: object, kind: type[Exception] = kind) -> None:
            raise kind("odd")

        monkeypatch.setattr(unpack, "unpack_zip", fail)
        with pytest.raises(InvalidArchive):
            unpack_entries(tmp_path / "upload", tmp_path, LIMITS, lambda _: None)
