from __future__ import annotations

import random
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from core.datasets import ClassCount, Split
from worker.datasets.archives.extraction import UnpackedFile
from worker.datasets.findings import (
    Clip,
    class_findings,
    count_clips,
    find_untrainable,
    remove_duplicates,
    select_decodable,
)
from worker.datasets.inspection import InspectionResult
from worker.datasets.manifests.manifest import ListedClip, make_finding
from worker.datasets.preparation import _by_severity


def clip(path: str, content: str, label: str, split: Split | None = None) -> Clip:
    return Clip(path, Path(), 1, content, label, split, 1.0)


def deduplicated(*clips: Clip) -> tuple[list[str], dict[str, tuple[str, ...]]]:
    kept, findings = remove_duplicates(clips)
    return [clip.path for clip in kept], {finding.code: finding.paths for finding in findings}


def test_a_copy_under_the_same_label_counts_once() -> None:
    assert deduplicated(clip("b", "x", "jump"), clip("a", "x", "jump"), clip("c", "y", "jump")) == (
        ["a", "c"],
        {"duplicate": ("b",)},
    )


def test_copies_under_different_labels_are_all_left_out() -> None:
    kept, found = deduplicated(
        clip("a", "x", "jump", "train"), clip("b", "x", "run", "test"), clip("c", "y", "run", "test")
    )
    assert (kept, found) == (["c"], {"conflicting_labels": ("a", "b")})


def test_a_copy_in_two_splits_stays_in_the_held_out_one() -> None:
    kept, found = deduplicated(
        clip("t", "x", "jump", "train"), clip("v", "x", "jump", "val"), clip("e", "x", "jump", "test"),
        clip("u", "y", "jump", "train"), clip("w", "y", "jump", "val"), clip("w2", "y", "jump", "val"),
    )  # fmt: skip
    assert (kept, found) == (["e", "w"], {"leak": ("t", "u", "v"), "duplicate": ("w2",)})


CLIPS = st.lists(
    st.builds(
        clip,
        st.sampled_from("abcdefgh"),
        st.sampled_from("uvwxyz"),
        st.sampled_from(("jump", "run")),
        st.sampled_from(("train", "val", "test")),
    ),
    max_size=12,
)


@given(CLIPS, st.randoms(use_true_random=False))
def test_identical_content_is_kept_once_in_any_order(clips: list[Clip], rng: random.Random) -> None:
    kept, findings = remove_duplicates(clips)
    shuffled = list(clips)
    rng.shuffle(shuffled)
    assert remove_duplicates(shuffled) == (kept, findings)
    assert len({clip.sha256 for clip in kept}) == len(kept)
    assert len(clips) == len(kept) + sum(finding.count for finding in findings)


def found(*classes: ClassCount, listed: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    names = [counted.name for counted in classes]
    return [(finding.code, finding.severity) for finding in class_findings(classes, [*names, *listed])]


def test_classes() -> None:
    assert found(ClassCount(name="jump", train=5, val=1), ClassCount(name="swim", train=9, test=2)) == []
    assert found(ClassCount(name="jump", train=1, val=1)) == [("thin_class", "warning")]
    assert found(ClassCount(name="jump", train=2)) == [("thin_class", "info")]
    assert found(ClassCount(name="jump", test=2)) == [("unseen_class", "info")]
    assert found(ClassCount(name="jump", train=5, val=1), listed=("gone",)) == [("thin_class", "warning")]
    lopsided = ClassCount(name="jump", train=50, val=1), ClassCount(name="swim", train=5, val=1)
    assert found(*lopsided) == [("imbalance", "warning")]


def test_an_untrainable_dataset_says_why() -> None:
    one, other = ClassCount(name="jump", train=3), ClassCount(name="swim", train=1)
    assert find_untrainable((one, other)) is None
    for classes, words in (
        ((), "No labelled clip"),
        ((one,), "Only one"),
        ((ClassCount(name="a", test=3),), "in the split train"),
    ):
        finding = find_untrainable(classes)
        assert finding is not None
        assert finding.severity == "error"
        assert words in finding.message


def test_counts() -> None:
    clips = [clip("a", "1", "run", "train"), clip("b", "2", "run", "val"), clip("c", "3", "jump", "test")]
    assert count_clips(clips) == (ClassCount(name="jump", test=1), ClassCount(name="run", train=1, val=1))


def test_a_finding_shows_twenty_paths_and_counts_all() -> None:
    found = make_finding("warning", "missing_file", "m", [f"{number:02d}" + "x" * 400 for number in range(25)])
    assert (len(found.paths), found.count) == (20, 25)
    assert found.paths[0] == "00" + "x" * 298
    assert make_finding("warning", "thin_class", "m", (), 3).count == 3


def test_a_clip_that_can_be_decoded_keeps_all_that_the_user_said() -> None:
    good = UnpackedFile("a.mp4", Path("0"), 10, "1" * 64)
    bad = UnpackedFile("b.mp4", Path("1"), 20, "2" * 64)
    results = {good.sha256: InspectionResult(2.5), bad.sha256: InspectionResult(problem=("not_a_video", "No video."))}
    listed = [ListedClip(good, "jump", "val", "g1"), ListedClip(bad, "run", "train", "g2")]
    kept, [finding] = select_decodable(listed, results)
    assert kept == [Clip("a.mp4", Path("0"), 10, "1" * 64, "jump", "val", 2.5, "g1")]
    assert (finding.code, finding.paths) == ("undecodable", ("b.mp4",))
    assert "not_a_video" in finding.message


def test_the_most_severe_findings_come_first() -> None:
    severities = ("info", "warning", "error", "warning")
    found = [make_finding(severity, "thin_class", "m", ()) for severity in severities]  # type: ignore[arg-type]
    assert [finding.severity for finding in _by_severity(found)] == ["error", "warning", "warning", "info"]
