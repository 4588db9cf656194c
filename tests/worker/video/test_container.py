from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import pytest

from core.errors import StorageUnavailable, UndecodableVideo, VideoTooLarge
from tests.clips import SPECS, corrupt, render, render_audio, render_cover, render_huge_gif, rendered, truncate
from worker.video import container
from worker.video.container import DEMUXERS, VideoLimits, read_video_info

LIMITS = VideoLimits()


def test_a_header_is_read(tmp_path: Path) -> None:
    info = read_video_info(render(tmp_path / "clip.mp4", SPECS["h264_audio"]), LIMITS)

    assert (info.width, info.height, info.frames, info.fps) == (96, 64, 40, 25.0)
    assert (info.codec, info.container, info.has_audio) == ("h264", "mp4", True)
    assert info.duration == pytest.approx(1.6)


@pytest.mark.parametrize(
    ("name", "codec"), [("av1_webm", "av1"), ("vp9_webm", "vp9"), ("hevc", "hevc"), ("gif", "gif")]
)
def test_codecs_have_their_common_names(name: str, codec: str, tmp_path: Path) -> None:
    assert read_video_info(rendered(name, tmp_path), LIMITS).codec == codec


def _write(content: bytes) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        path.write_bytes(content)
        return path

    return make


@pytest.mark.parametrize(
    ("make", "reason", "words"),
    [
        (_write(b""), "empty_file", "empty"),
        (_write(b"just some words, again and again\n" * 50), "not_a_video", "not a video"),
        (_write(bytes(range(256)) * 40), "not_a_video", "not a video"),
        (
            _write(b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>"),
            "not_a_video",
            "",
        ),
        (
            _write(b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nc=IN IP4 127.0.0.1\r\nm=video 9 RTP/AVP 96\r\n"),
            "not_a_video",
            "",
        ),
        (lambda path: render_audio(path.with_suffix(".m4a")), "no_video_stream", "only sound"),
        (lambda path: render_cover(path.with_suffix(".mp4")), "no_video_stream", "only sound"),
        (
            lambda path: truncate(render(path.with_suffix(".mp4"), SPECS["h264"]), 0.5, path),
            "corrupt_container",
            "begins like",
        ),
    ],
    ids=["empty", "text", "bytes", "svg", "sdp", "audio", "cover", "truncated"],
)
def test_a_file_that_is_not_a_video_is_refused_with_a_reason(
    make: Callable[[Path], Path], reason: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(UndecodableVideo) as refused:
        read_video_info(make(tmp_path / "upload"), LIMITS)

    assert refused.value.details["reason"] == reason
    assert words in refused.value.message
    assert str(tmp_path) not in str(refused.value.to_dict())
    assert "Traceback" not in refused.value.message


@pytest.mark.parametrize(
    "script",
    [
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:9\n#EXTINF:1.6,\n{clip}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{clip}'\n",
        "<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'><BaseURL>{clip}</BaseURL></MPD>",
    ],
    ids=["hls", "concat", "dash"],
)
@pytest.mark.parametrize("suffix", ["", ".m3u8", ".ffconcat", ".mp4"])
def test_no_file_opens_another_file(script: str, suffix: str, tmp_path: Path) -> None:
    clip = rendered("h264_ts", tmp_path)
    (tmp_path / f"upload{suffix}").write_text(script.format(clip=clip.name))

    with pytest.raises(UndecodableVideo, match="not a video"):
        read_video_info(tmp_path / f"upload{suffix}", LIMITS)


def test_a_playlist_past_the_list_of_formats_cannot_open_a_file_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second wall: a concat script that the list of formats would allow, without the demuxer's own check."""
    (tmp_path / "upload").write_text(f"ffconcat version 1.0\nfile 'file:{rendered('h264_ts', tmp_path)}'\n")
    av_open: Callable[..., Any] = av.open

    def careless(*args: Any, container_options: dict[str, str], **options: Any) -> Any:
        return av_open(*args, container_options=container_options | {"safe": "0"}, **options)

    monkeypatch.setattr(container, "DEMUXERS", (*DEMUXERS, "concat"))
    monkeypatch.setattr(av, "open", careless)
    with pytest.raises(UndecodableVideo):
        read_video_info(tmp_path / "upload", LIMITS)


def test_a_file_name_is_never_read_as_a_protocol(tmp_path: Path) -> None:
    strange = tmp_path / "concat:a|b.mp4"

    assert read_video_info(render(strange, replace(SPECS["h264"], format="mp4")), LIMITS).frames == 40


def test_every_demuxer_we_name_exists() -> None:
    assert set(DEMUXERS) <= av.formats_available


def test_too_many_pixels_are_refused_from_the_header_alone(tmp_path: Path) -> None:
    with pytest.raises(VideoTooLarge) as refused:
        read_video_info(render_huge_gif(tmp_path / "bomb.gif", side=16000), LIMITS)

    assert (refused.value.details["limit"], refused.value.details["codec"]) == (LIMITS.max_pixels, "gif")
    assert "16000" in refused.value.message


def test_a_size_that_cannot_be_addressed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UndecodableVideo, match="frame size"):
        read_video_info(render_huge_gif(tmp_path / "bomb.gif", side=65535), LIMITS)


def test_too_long_is_refused_with_the_limit(tmp_path: Path) -> None:
    with pytest.raises(VideoTooLarge) as refused:
        read_video_info(rendered("h264", tmp_path), VideoLimits(max_seconds=1.0))

    assert refused.value.details["limit"] == 1.0


def test_a_missing_blob_does_not_blame_the_user(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable):
        read_video_info(tmp_path / "nothing", LIMITS)


@pytest.mark.parametrize("seed", range(5))
def test_a_corrupt_header_never_ends_in_a_foreign_error(seed: int, tmp_path: Path) -> None:
    broken = corrupt(rendered("h264_faststart", tmp_path), seed, 60, tmp_path / "broken", end=0.3)

    with suppress(UndecodableVideo, VideoTooLarge):
        assert read_video_info(broken, LIMITS).codec
