"""Archives that are damaged or malicious, by kind: for the benchmark `bad_datasets` and for the tests.

`archives(clips)` makes the same archives for the same seed. `clips`: at least four encoded videos, the good part of
each archive.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random
import struct
import tarfile
import unicodedata
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

ESCAPED = (
    "vireo-escaped"  # the name of every entry that tries to leave the archive: if such a file exists, it succeeded
)

Files = list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Hostile:
    """One archive. codes: acceptable reasons of a refusal or codes of findings, of which the answer must give at least
    one; empty if any clear answer is acceptable."""

    kind: str
    data: bytes = field(repr=False)
    codes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Maker:
    """clips: different encoded videos. turn: how many archives of the same kind were made before."""

    rng: random.Random
    clips: Sequence[bytes]
    turn: int

    def good(self) -> Files:
        """Two classes of two clips."""
        names = ("jump/a.mp4", "jump/b.mp4", "wave arms/c.mp4", "wave arms/d.mp4")
        return list(zip(names, self.clips[:4], strict=True))

    def pack(self, files: Files) -> bytes:
        """In a random format, sometimes below one folder."""
        if self.rng.random() < 0.3:
            files = [(f"dataset/{name}", data) for name, data in files]
        return self.rng.choice((pack_zip, pack_tar, _pack_gz))(files)


def archives(clips: Sequence[bytes], count: int = 200, seed: int = 0) -> Iterator[Hostile]:
    for index in range(count):
        kind = list(KINDS)[index % len(KINDS)]
        data, codes = KINDS[kind](_Maker(random.Random(f"{seed}:{index}"), clips, turn=index // len(KINDS)))
        yield Hostile(kind, data, frozenset(codes.split()))


def pack_zip(files: Files, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", method) as archive:
        warnings.simplefilter("ignore")  # duplicate names are intended
        for name, data in files:
            info = zipfile.ZipInfo("x")
            info.filename = info.orig_filename = name  # the constructor of ZipInfo would correct it
            info.compress_type = method
            archive.writestr(info, data)
    return out.getvalue()


def pack_tar(files: Files) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files:
            archive.addfile(_member(name, len(data)), io.BytesIO(data))
    return out.getvalue()


def _pack_gz(files: Files) -> bytes:
    return gzip.compress(pack_tar(files), 1)


def _member(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, kind, link
    return info


Made = tuple[bytes, str]


def _traversal(maker: _Maker) -> Made:
    names = (
        f"../{ESCAPED}.mp4", f"jump/../../../{ESCAPED}.mp4", f"/tmp/{ESCAPED}.mp4", f"..\\..\\{ESCAPED}.mp4",
        f"C:/{ESCAPED}.mp4", f"C:\\{ESCAPED}.mp4", f"//server/{ESCAPED}.mp4", f"jump/{ESCAPED}.mp4\0.txt",
        f"./.././{ESCAPED}.mp4", f"jump/{'../' * 20}{ESCAPED}.mp4",
    )  # fmt: skip
    name = names[maker.turn % len(names)]
    pack = pack_zip if "\0" in name or maker.turn % 2 else pack_tar
    codes = "parent_path absolute_path backslash drive_letter nul_in_name"
    return pack([*maker.good(), (name, maker.clips[0])]), codes


def _links(maker: _Maker) -> Made:
    target = maker.rng.choice(("/etc/passwd", "../../../../etc/passwd", "jump/a.mp4", f"../{ESCAPED}"))
    if maker.turn % 3 == 2:
        out = io.BytesIO(pack_zip(maker.good()))
        with zipfile.ZipFile(out, "a") as zipped:
            info = zipfile.ZipInfo("jump/link.mp4")
            info.external_attr = 0o120777 << 16
            zipped.writestr(info, target)
        return out.getvalue(), "link"
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(_member("jump/link", kind=(tarfile.SYMTYPE, tarfile.LNKTYPE)[maker.turn % 3], link=target))
        archive.addfile(_member("jump/link/a.mp4", len(maker.clips[0])), io.BytesIO(maker.clips[0]))
    return out.getvalue(), "link"


def _special(maker: _Maker) -> Made:
    out = io.BytesIO()
    kinds = (tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.CONTTYPE, b"Z")
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in maker.good():
            archive.addfile(_member(name, len(data)), io.BytesIO(data))
        archive.addfile(_member("jump/device.mp4", kind=kinds[maker.turn % len(kinds)]))
    # contiguous files and unknown types are read as plain files: here an empty clip
    return out.getvalue(), "special_file undecodable"


def _sparse(maker: _Maker) -> Made:
    """Old GNU sparse: a few bytes that claim a large file."""
    header = bytearray(_member("jump/a.mp4", kind=tarfile.GNUTYPE_SPARSE).tobuf(tarfile.GNU_FORMAT))
    header[386:398], header[398:410] = b"%011o\0" % (1 << 30), b"%011o\0" % 0  # one empty region, at a large offset
    header[483:495] = b"%011o\0" % (1 << (31 + maker.turn % 2))  # the size that it claims
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + pack_tar(maker.good()), "sparse"


def _bomb(maker: _Maker) -> Made:
    """16 MB of zeros, which compress well."""
    return maker.rng.choice(_bombs()), "bomb too_large"


def _bombs() -> list[bytes]:
    if not _BOMBS:
        zeros = [("jump/zeros.mp4", bytes(16 << 20))]
        tar = pack_tar(zeros)
        _BOMBS.extend((pack_zip(zeros), gzip.compress(tar, 1), bz2.compress(tar, 1), lzma.compress(tar, preset=0)))
        _BOMBS.append(_overlapping(16))
    return _BOMBS


_BOMBS: list[bytes] = []


def _overlapping(times: int) -> bytes:
    """A zip whose directory lists the same compressed megabyte many times."""
    one = pack_zip([("z", bytes(1 << 20))])
    directory = one.index(b"PK\x01\x02")
    end = one.index(b"PK\x05\x06")
    entry = one[directory:end]
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, times, times, times * len(entry), directory, 0)
    return one[:directory] + entry * times + tail


def _many(maker: _Maker) -> Made:
    files = [*maker.good(), *((f"jump/{i}.mp4", b"") for i in range(200))]
    return (pack_zip if maker.turn % 2 else _pack_gz)(files), "too_many_files"


def _nested(maker: _Maker) -> Made:
    """Archives in archives, as in a quine or a bomb of many levels. They are files and stay packed."""
    inner = pack_zip(maker.good())
    for _ in range(maker.rng.randrange(1, 5)):
        inner = pack_zip([("jump/inner.zip", inner), ("inner.tar.gz", _pack_gz([("x", b"x")]))])
    return maker.pack([*maker.good(), ("jump/inner.zip", inner)]), "ignored_file"


def _encrypted(maker: _Maker) -> Made:
    data = bytearray(pack_zip(maker.good()))
    at = 0
    while (at := data.find(b"PK\x01\x02", at)) >= 0:
        data[at + 8] |= 1
        at += 4
    return bytes(data), "encrypted"


def _lying(maker: _Maker) -> Made:
    """Headers that declare a wrong size."""
    if maker.turn % 2:
        data = bytearray(pack_tar(maker.good()))
        data[124:136] = b"%011o\0" % maker.rng.choice((1 << 32, 7, 0))
        data[148:156] = b" " * 8
        data[148:156] = b"%06o\0 " % sum(data[:512])
        return bytes(data), "truncated damaged size_mismatch not_an_archive"
    data = bytearray(pack_zip(maker.good()))
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<L", maker.rng.choice((1, 100, 1 << 30, 0xFFFFFFFE)))
    return bytes(data), "damaged size_mismatch truncated"


def _truncated(maker: _Maker) -> Made:
    data = maker.pack(maker.good()).rstrip(b"\0")  # the padding of a tar is not needed
    return data[: int(len(data) * maker.rng.uniform(0.02, 0.97))], "truncated damaged not_an_archive"


def _mutated(maker: _Maker) -> Made:
    data = bytearray(maker.pack(maker.good()))
    for _ in range(maker.rng.choice((1, 3, 10, 100))):
        data[maker.rng.randrange(len(data))] = maker.rng.randrange(256)
    return bytes(data), ""


def _no_archive(maker: _Maker) -> Made:
    clip = maker.clips[0]
    some = (
        b"", b"hello", clip, maker.rng.randbytes(5000), b"Rar!\x1a\x07\x00" + clip, b"7z\xbc\xaf\x27\x1c" + clip,
        gzip.compress(clip), lzma.compress(b"x" * 2000), b"<html>" * 200, b"PK\x03\x04" + maker.rng.randbytes(900),
        b"BZh9" + maker.rng.randbytes(900), b"\x28\xb5\x2f\xfd" + maker.rng.randbytes(900),
    )  # fmt: skip
    return some[maker.turn % len(some)], "not_an_archive unsupported_format truncated damaged"


def _columns(maker: _Maker) -> Made:
    """Manifests that cannot be read."""
    some = (
        "file,class\njump/a.mp4,jump\n", "", "path,label\n", "path;label,split\njump/a.mp4;jump,train\n",
        "path,label,label\njump/a.mp4,jump,jump\n", "path,label\njump/a.mp4,jump,high,train\n",
        "path,label\njump/a.mp4\n",
        'path,label\n"jump/a.mp4,jump\n', "path,label,split\njump/a.mp4,jump,learn\n", "path,label\njump/a.mp4,\n",
        "path,label,split\njump/a.mp4,jump,train\njump/b.mp4,jump,\n", "jump/a.mp4,jump\n",
    )  # fmt: skip
    if maker.turn % 4 == 3:
        lines = ('["jump/a.mp4", "jump"]', "{", '{"path": "jump/a.mp4"}', '{"path": "jump/a.mp4", "label": 1.5}')
        text = json.dumps({"path": "jump/b.mp4", "label": "jump"}) + "\n" + lines[maker.turn // 4 % len(lines)]
        return maker.pack([*maker.good(), ("manifest.jsonl", text.encode())]), "manifest"
    return maker.pack([*maker.good(), ("manifest.csv", some[maker.turn % len(some)].encode())]), "manifest"


def _encodings(maker: _Maker) -> Made:
    rows = "path,label\r\n" + "".join(f'{name},"grüßen, {name[:4]}"\r\n' for name, _ in maker.good())
    encoding = ("utf-8", "utf-8-sig", "utf-16", "latin-1", "utf-32")[maker.turn % 5]
    return maker.pack([*maker.good(), ("manifest.csv", rows.encode(encoding))]), "manifest no_split"


def _missing(maker: _Maker) -> Made:
    rows = [(name, name.split("/")[0]) for name, _ in maker.good()]
    rows += [(maker.rng.choice((f"../{ESCAPED}.mp4", "/etc/passwd", "jump/none.mp4", "\0", "wave arms")), "jump")]
    if maker.turn % 3 == 0:
        text = "\n".join(json.dumps({"path": path, "label": label}) for path, label in rows)
        return maker.pack([*maker.good(), ("manifest.jsonl", text.encode())]), "missing_file"
    text = "path,label\n" + "\n".join(",".join(row) for row in rows)
    return maker.pack([*maker.good(), ("manifest.csv", text.encode())]), "missing_file"


def _no_videos(maker: _Maker) -> Made:
    some = (b"", b"hello", b"<svg/>", maker.rng.randbytes(3000), b"#EXTM3U\nfile:///etc/passwd\n", bytes(2000))
    bad = [(f"jump/bad{i}.mp4", data) for i, data in enumerate(maker.rng.sample(some, 3))]
    return maker.pack(bad if maker.turn % 3 == 0 else [*maker.good(), *bad]), "undecodable"


def _damaged_clips(maker: _Maker) -> Made:
    files: Files = []
    for name, data in maker.good():
        mutable = bytearray(data)
        for _ in range(maker.rng.choice((1, 30, 300))):
            mutable[maker.rng.randrange(len(mutable))] = maker.rng.randrange(256)
        files.append((name, bytes(mutable[: maker.rng.randrange(len(mutable) // 2, len(mutable))])))
    return maker.pack(files), ""


def _unicode(maker: _Maker) -> Made:
    """One name in two Unicode forms, right-to-left marks, emoji, and bytes that are not UTF-8."""
    composed, apart = "Café", unicodedata.normalize("NFD", "Café")
    a, b, c, d = (data for _, data in maker.good())
    files = [(f"{composed}/x.mp4", a), (f"{apart}/x.mp4", b), ("\u202efdp/x.mp4", c), ("🕺 \u200d/x.mp4", d)]
    if maker.turn % 3 == 0:
        out = pack_tar([("latin/x.mp4", a), ("b/x.mp4", b)])
        return out.replace(b"latin", b"l\xe4tin").replace(*_checksum_of_latin(out)), "no_split damaged truncated"
    if maker.turn % 3 == 1:
        rows = f"path,label\n{apart}/x.mp4,one\n{composed}/x.mp4,two\n🕺 \u200d/x.mp4,two\n"
        return maker.pack([*files, ("manifest.csv", rows.encode())]), "unlisted_file"
    return maker.pack(files), "no_split"


def _checksum_of_latin(tar: bytes) -> tuple[bytes, bytes]:
    """The checksum of the first header, and its value after an `a` has become 0xe4."""
    old = tar[148:156]
    return old, b"%06o\0 " % (int(old[:6], 8) + 0xE4 - ord("a"))


def _case(maker: _Maker) -> Made:
    a, b, c, d = (data for _, data in maker.good())
    files = [("Jump/x.mp4", a), ("jump/x.mp4", b), ("JUMP/X.MP4", c), ("Wave/x.mp4", d)]
    if maker.turn % 2:
        rows = "path,label\njump/X.mp4,jump\nWAVE/X.mp4,wave\nJump/x.mp4,hop\n"  # the first could be any of three
        return maker.pack([*files, ("Manifest.CSV", rows.encode())]), "missing_file"
    return maker.pack(files), "near_synonyms"


def _same_names(maker: _Maker) -> Made:
    a, b, c, d = (data for _, data in maker.good())
    files = [("jump/x.mp4", a), ("jump/x.mp4", b), ("wave/x.mp4", c), ("wave/x.mp4", d), ("jump/x.mp4/y.mp4", a)]
    return maker.pack(files), "conflicting_labels"


def _copies(maker: _Maker) -> Made:
    a, b, c, d = (data for _, data in maker.good())
    files = [("train/1/a.mp4", a), ("train/1/b.mp4", b), ("train/2/c.mp4", c), ("train/2/d.mp4", d)]
    extra, code = (
        ([("test/1/a.mp4", a)], "leak"),
        ([("train/1/again.mp4", a), ("test/1/b.mp4", b)], "duplicate"),
        ([("test/2/a.mp4", a)], "conflicting_labels"),
        ([("train/a.mp4", a), ("val/2/b.mp4", d)], "unlisted_file"),
        ([("test/3/x.mp4", b"")], "numeric_labels"),
    )[maker.turn % 5]
    return maker.pack([*files, *extra]), code


def _names(maker: _Maker) -> Made:
    """Names that are too long or too deep, or hidden."""
    clip = maker.clips[0]
    some: tuple[tuple[str, str], ...] = (
        ("x" * 300 + "/a.mp4", "path_too_long"),
        ("y/" * 600 + "a.mp4", "path_too_long"),
        ("z/" * 60 + "a.mp4", "path_too_deep"),
        ("__MACOSX/jump/._a.mp4", "ignored_file"),
        ("jump/.DS_Store", "ignored_file"),
        ("a.mp4", "unlisted_file conflicting_labels"),  # the second code if all files are in one folder
    )
    name, code = some[maker.turn % len(some)]
    return maker.pack([*maker.good(), (name, clip)]), code


KINDS: dict[str, Callable[[_Maker], Made]] = {
    "path traversal": _traversal,
    "links": _links,
    "special files": _special,
    "sparse files": _sparse,
    "bombs": _bomb,
    "too many files": _many,
    "nested archives": _nested,
    "encrypted": _encrypted,
    "lying sizes": _lying,
    "truncated": _truncated,
    "mutated bytes": _mutated,
    "no archive": _no_archive,
    "wrong columns": _columns,
    "encodings": _encodings,
    "missing files": _missing,
    "no videos": _no_videos,
    "damaged clips": _damaged_clips,
    "unicode clashes": _unicode,
    "case clashes": _case,
    "same names": _same_names,
    "copies and leaks": _copies,
    "odd names": _names,
}
