"""Ways to damage a good file. The same random numbers make the same file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from benchmarks.hostile.decoding import Hostile

_EXTREMES: Final = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_HUGE: Final = (*_EXTREMES, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
_TAG: Final = re.compile(rb"[A-Za-z0-9 ]{4}")

_FIELDS: Final = (
    *(
        b"tkhd",
        b"mvhd",
        b"mdhd",
        b"stsd",
        b"stts",
        b"ctts",
        b"stsz",
        b"stsc",
        b"stco",
        b"elst",
        b"avcC",
        b"hvcC",
    ),  # MP4
    *(b"trun", b"tfhd", b"trex", b"sidx", b"dref", b"esds", b"colr", b"pasp"),
    *(b"avih", b"strh", b"strf", b"idx1", b"indx", b"movi"),  # AVI
    *(b"\x44\x89", b"\xb0", b"\xba", b"\x2a\xd7\xb1", b"\x23\xe3\x83", b"\xe7", b"\xa3", b"\x63\xa2"),  # Matroska
    *(b"GIF89a", b"\x21\xf9\x04", b"\x2c", b"IHDR", b"acTL", b"fcTL", b"DKIF", b"FLV", b".RMF", b"PROP", b"MDPR"),
    *(b"\x9d\x01\x2a", b"\0\0\1\x67", b"\0\0\1\xb3", b"\0\0\1\x42\1", b"\x49\x83\x42"),  # sizes of VP8 … VP9 frames
)
"""Marks that are followed by sizes, lengths, counts and times."""

_CODECS: Final = (
    b"avc1", b"hvc1", b"av01", b"vp09", b"mp4v", b"jpeg", b"mjpa", b"mjpb", b"png ", b"tiff", b"rle ", b"rpza", b"smc ",
    b"SVQ1", b"SVQ3", b"cvid", b"IV31", b"IV32", b"IV41", b"IV50", b"dvc ", b"dvcp", b"apcn", b"ap4h", b"AVdn", b"CFHD",
    b"Hap1", b"HapY", b"8BPS", b"WRLE", b"icod", b"mjp2", b"qdrw", b"dxtn", b"pxlt", b"SHQ0", b"VMnc", b"WMV1", b"WMV2",
    b"WMV3", b"WVC1", b"MP42", b"MP43", b"DX50", b"XVID", b"H263", b"H261", b"VP30", b"VP60", b"VP61", b"VP62", b"VP70",
    b"VP80", b"FLV1", b"FPS1", b"HFYU", b"FFVH", b"FFV1", b"ULRG", b"MAGY", b"LAGS", b"ZLIB", b"MSZH", b"tscc", b"TSC2",
    b"MSS1", b"MSS2", b"G2M4", b"ZMBV", b"CSCD", b"FICV", b"KMVC", b"QPEG", b"LOCO", b"WNV1", b"AASC", b"ASV1", b"ASV2",
    b"CRAM", b"snow", b"drac", b"theo", b"RV10", b"RV20", b"RV30", b"RV40", b"RV60", b"ap5h", b"M8RG", b"SCPR", b"rscc",
    b"DXD3", b"nlc1", b"v210", b"r210", b"AVup", b"VCR1", b"CLJR", b"YUY2", b"I420", b"vvc1", b"apv1", b"agm0", b"iv32",
)  # fmt: skip
"""What MP4, MOV and AVI files call codecs: a wrong one hands the data to a decoder that never saw the like."""


@dataclass(frozen=True, slots=True)
class Mutator:
    """One way to damage `data`. others: the good files, from which parts may be taken."""

    rng: Random
    others: Sequence[bytes]

    def bit_flips(self, data: bytes) -> bytes:
        out = bytearray(data)
        for _ in range(self.rng.choice((1, 4, 16, 64, 256))):
            out[self.rng.randrange(len(out))] ^= 1 << self.rng.randrange(8)
        return bytes(out)

    def header_flips(self, data: bytes) -> bytes:
        """At the start or the end, where containers have their facts."""
        size = min(len(data), 600)
        if self.rng.random() < 0.7:
            return self.bit_flips(data[:size]) + data[size:]
        return data[:-size] + self.bit_flips(data[-size:])

    def wrong_bytes(self, data: bytes) -> bytes:
        out = bytearray(data)
        for _ in range(self.rng.choice((1, 10, 100, 1000))):
            out[self.rng.randrange(len(out))] = self.rng.randrange(256)
        return bytes(out)

    def truncated(self, data: bytes) -> bytes:
        return data[: self.rng.randrange(len(data))]

    def beheaded(self, data: bytes) -> bytes:
        return data[self.rng.randrange(1, min(len(data), 2000)) :]

    def spliced(self, data: bytes) -> bytes:
        """The header of one file, the rest of another."""
        other = self.rng.choice(self.others)
        at = self.rng.randrange(1, min(len(data), len(other), 4096))
        return data[:at] + other[self.rng.choice((at, self.rng.randrange(len(other)))) :]

    def blocks(self, data: bytes) -> bytes:
        """A block is removed, repeated, moved, emptied or filled with noise."""
        start = self.rng.randrange(len(data))
        end = min(start + self.rng.choice((1, 4, 16, 188, 1000, 5000)), len(data))
        block, rest = data[start:end], data[:start] + data[end:]
        what = self.rng.randrange(5)
        if what == 0:
            return rest
        if what == 1:
            return data[:start] + block * self.rng.choice((2, 5, 100)) + data[end:]
        if what == 2:
            at = self.rng.randrange(len(rest) + 1)
            return rest[:at] + block + rest[at:]
        filled = bytes(len(block)) if what == 3 else self.rng.randbytes(len(block))
        return data[:start] + filled + data[end:]

    def extreme_numbers(self, data: bytes) -> bytes:
        out = bytearray(data)
        for _ in range(self.rng.choice((1, 2, 8))):
            self._put_extreme(out, self.rng.randrange(min(len(out), self.rng.choice((200, 2000, len(out))))))
        return bytes(out)

    def fields(self, data: bytes) -> bytes:
        """Absurd sizes, durations, counts and times, where the format has them."""
        found = [(data.find(mark), len(mark)) for mark in _FIELDS if mark in data]
        out = bytearray(data)
        for _ in range(self.rng.choice((1, 2, 4))):
            at, size = self.rng.choice(found or [(0, 0)])
            self._put_extreme(out, min(at + size + self.rng.randrange(40), len(out) - 1))
        return bytes(out)

    def lengths(self, data: bytes) -> bytes:
        """The number before or after a tag of four characters, which is a length in MP4, RIFF, RealMedia and PNG."""
        tags = [match.start() for match in _TAG.finditer(data[:20_000])] or [0]
        out = bytearray(data)
        for _ in range(self.rng.choice((1, 3))):
            self._put_extreme(out, max(self.rng.choice(tags) + self.rng.choice((-4, 4)), 0), 4)
        return bytes(out)

    def tags(self, data: bytes) -> bytes:
        """One tag for another: unknown boxes, boxes where none may be."""
        tags = sorted({match[0] for match in _TAG.finditer(data[:20_000])}) or [data[:4]]
        return data.replace(self.rng.choice(tags), self.rng.choice((*tags, *_FIELDS[:20])), self.rng.choice((1, -1)))

    def codecs(self, data: bytes) -> bytes:
        """The data of one codec for the decoder of another."""
        present = [tag for tag in _CODECS if tag in data[:20_000]] or [data[:4]]
        out = data.replace(self.rng.choice(present), self.rng.choice(_CODECS))
        return out if self.rng.random() < 0.5 else self.bit_flips(out)

    def joined(self, data: bytes) -> bytes:
        """Another file follows, or noise, or nothing for long: resolution, codec and clock change in mid-stream."""
        other = self.rng.choice(self.others)
        return data + self.rng.choice((other, other[len(other) // 3 :], data, self.rng.randbytes(3000), bytes(100_000)))

    def _put_extreme(self, out: bytearray, at: int, width: int = 0) -> None:
        width = width or self.rng.choice((1, 2, 3, 4, 8))
        number = self.rng.choice(_HUGE) & ((1 << 8 * width) - 1)
        piece = number.to_bytes(width, self.rng.choice(("big", "little")))
        out[at : at + width] = piece[: len(out) - at]


KINDS: Final[dict[str, Callable[[Mutator, bytes], bytes]]] = {
    "bit flips": Mutator.bit_flips,
    "bit flips in the header": Mutator.header_flips,
    "wrong bytes": Mutator.wrong_bytes,
    "truncated": Mutator.truncated,
    "beginning cut off": Mutator.beheaded,
    "header of another file": Mutator.spliced,
    "blocks moved, repeated, emptied": Mutator.blocks,
    "extreme numbers": Mutator.extreme_numbers,
    "absurd sizes and durations": Mutator.fields,
    "wrong lengths": Mutator.lengths,
    "tags exchanged": Mutator.tags,
    "data of another codec": Mutator.codecs,
    "another file behind": Mutator.joined,
}


def mutated_files(seed: int, indices: Iterable[int], good: Sequence[bytes], folder: Path) -> Iterator[Hostile]:
    """Those files of a campaign, written one by one as they are asked for."""
    for index in indices:
        kind, data = mutate(seed, index, good)
        path = folder / f"{seed}-{index}"
        path.write_bytes(data)
        yield Hostile(index, kind, path)


def mutate(seed: int, index: int, good: Sequence[bytes]) -> tuple[str, bytes]:
    """The kind of damage, and file `index` of the campaign `seed`. It is never empty."""
    rng = Random(f"{seed}:{index}")
    kind = rng.choice(list(KINDS))
    damaged = KINDS[kind](Mutator(rng, good), good[index % len(good)])
    return kind, damaged or b"\0"
