"""An archive is what its first bytes say, whatever its name says."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from pathlib import Path

import pytest

from core.errors import InvalidArchive
from worker.datasets.archives.formats import detect_kind, open_tar_stream


def tar() -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"))
    return data.getvalue()


def zipped(*names: str) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return data.getvalue()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (zipped("a"), "zip"),
        (zipped(), "zip"),
        (tar(), "tar"),
        (bytes(1024), "tar"),
        (gzip.compress(tar()), "gz"),
        (bz2.compress(tar()), "bz2"),
        (lzma.compress(tar()), "xz"),
        (b"\x28\xb5\x2f\xfd", "zst"),
    ],
    # Compressed bytes hold the time of day: as names of the cases they would differ between two test processes.
    ids=["zip", "empty zip", "tar", "empty tar", "gz", "bz2", "xz", "zst"],
)
def test_the_first_bytes_tell_the_format(tmp_path: Path, content: bytes, kind: str) -> None:
    file = tmp_path / "archive.7z"
    file.write_bytes(content)
    assert detect_kind(file) == kind
    if kind in ("gz", "bz2", "xz", "tar"):
        with open_tar_stream(file, detect_kind(file)) as stream:
            assert stream.read(512) in (tar()[:512], bytes(512))


@pytest.mark.parametrize(
    ("magic", "name"), [(b"7z\xbc\xaf\x27\x1c", "7z"), (b"Rar!\x1a\x07", "rar"), (b"PK\x07\x08", "split zip")]
)
def test_what_is_an_archive_of_another_format_is_named(tmp_path: Path, magic: bytes, name: str) -> None:
    file = tmp_path / "archive.zip"
    file.write_bytes(magic + bytes(1000))
    with pytest.raises(InvalidArchive, match=f"a {name} archive") as refused:
        detect_kind(file)
    assert refused.value.details["reason"] == "unsupported_format"


@pytest.mark.parametrize("content", [b"", b"x", b"this is a text\n" * 100])
def test_what_is_no_archive(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "archive.zip"
    file.write_bytes(content)
    with pytest.raises(InvalidArchive) as refused:
        detect_kind(file)
    assert refused.value.details["reason"] == "not_an_archive"
