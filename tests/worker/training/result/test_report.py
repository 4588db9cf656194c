from __future__ import annotations

import base64
import io
import json
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.protocols.catalogue import PROTOCOLS
from core.protocols.class_splits import half_of
from core.protocols.protocol import LabelSpace
from core.results import ProtocolResult
from worker.training.judging.comparison import base_to_novel_record, compare_scores
from worker.training.judging.label_spaces import sum_up_spaces
from worker.training.judging.measures import evaluate_views
from worker.training.judging.scored import Scored
from worker.training.result.report import build_report, write_report
from worker.training.result.report_types import Report

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "it's; `id` $HOME {{ 7 * 7 }}",
    "跑步 \u202e",
    "x" * 500,
    "a\x00b",
]
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """A page as a browser reads it: its tags, its text, and what it would run or fetch."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.text += " "
        if tag not in VOID and tag != "html":
            self.open.append(tag)
        for name, value in attrs:
            if name.startswith("on"):
                self.handlers.append(name)
            if name in {"src", "href", "srcset", "action", "data", "poster"}:
                self.addresses.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        if tag != "html":
            assert tag in self.open, f"</{tag}> closes nothing"
            while self.open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


def scored(classes: int, clips: int, seed: int = 0, skill: float = 2.0, unseen: int = 0) -> Scored:
    """Random clips; the last `unseen` classes have none."""
    draws = np.random.default_rng(seed)
    labels = np.arange(clips, dtype=np.int64) % (classes - unseen)
    logits = draws.normal(size=(clips, classes))
    logits[np.arange(clips), labels] += skill
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Scored([f"{label}/<b>{place}.mp4" for place, label in enumerate(labels)], labels, probabilities)


def report_of(classes: list[str], after: Scored, **more: Any) -> Report:
    model = {
        "name": "gym:3",
        "base": "lite",
        "recipe": "default",
        "classifier": "text",
        "temporal": "mean",
        "open_labels": True,
    } | more.pop("model", {})
    return build_report(
        evaluate_views({"1x1": after}, classes),
        model=model,
        dataset={"id": "ds_0123456789abcdef01234567", "digest": "ab" * 32, "name": "<i>gym</i>.zip"},
        split=more.pop("split", "val"),
        created_at=1_790_000_000.0,
        classes=classes,
        **more,
    )


def halves_of(after: Scored, classes: list[str]) -> ProtocolResult:
    spaces = [LabelSpace(f"seed {seed}", half_of(classes, seed)) for seed in range(10)]
    return sum_up_spaces(PROTOCOLS["half-class"], spaces, after, classes)


def full(classes: list[str], clips: int = 60) -> Report:
    """With every part that a report can have."""
    count = len(classes)
    after, before = scored(count, clips), scored(count, clips, seed=1, skill=0.5)
    return report_of(
        classes,
        after,
        classifiers={"text": np.eye(count) + 0.1, "<b>base</b>": np.eye(count)},
        curves={
            "train": [
                {"step": 1, "epoch": 0.5, "loss": 1.0, "lr": 1e-5},
                {"step": 2, "epoch": 1.0, "loss": 0.5, "lr": 0.0},
            ],
            "val": [{"epoch": 1.0, "loss": 0.7, "top1": 0.5}],
        },
        before=compare_scores(before, after),
        base_to_novel=base_to_novel_record((before, after), (before, after), classes, ["<s>novel"]),
        vectors={
            "clips": list(after.ids),
            "labels": after.labels.tolist(),
            "before": [[float(place), 0.0] for place in range(clips)],
            "after": [[0.0, float(place)] for place in range(clips)],
            "perplexity": 5.0,
            "seed": 0,
            "note": None,
        },
        protocol_result=halves_of(after, classes) if count >= 4 else None,
        skipped=[("<u>broken</u>.mp4", "undecodable_video")],
    )


def page_of(report: Report, directory: Path) -> Page:
    write_report(report, directory)
    return Page((directory / "report.html").read_text(encoding="utf-8"))


def words(page: Page) -> str:
    return " ".join(page.text.split())


def test_everything_is_written(tmp_path: Path) -> None:
    report = full(["jump", "run", "sit", "fall"])
    write_report(report, tmp_path / "new" / "directory")
    written = {path.name for path in (tmp_path / "new" / "directory").iterdir()}
    pictures = {"confusion", "correlation", "curves", "base-to-novel", "vectors"}
    assert written == {"report.json", "report.html"} | {f"{name}.png" for name in pictures}
    assert json.loads((tmp_path / "new" / "directory" / "report.json").read_text()) == report


def test_the_most_frequent_confusions_are_named_first(tmp_path: Path) -> None:
    given = {"jump": "jump run run run", "run": "run run sit", "sit": "sit sit fall fall"}  # true → what was answered
    classes = ["jump", "run", "sit", "fall", "lie", "stand"]
    pairs = [(classes.index(true), classes.index(answer)) for true in given for answer in given[true].split()]
    probabilities = np.full((len(pairs), len(classes)), 0.1)
    probabilities[np.arange(len(pairs)), [answer for _, answer in pairs]] = 0.5
    labels = np.array([true for true, _ in pairs], dtype=np.int64)
    clips = [f"{place}.mp4" for place in range(len(pairs))]
    page = words(page_of(report_of(classes, Scored(clips, labels, probabilities)), tmp_path))
    order = [page.index(text) for text in ("jump → run: 3 of 4", "sit → fall: 2 of 4", "run → sit: 1 of 3")]
    assert order == sorted(order)


def test_only_what_there_is_to_draw_is_drawn(tmp_path: Path) -> None:
    write_report(report_of(["a", "b"], scored(2, 4)), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"report.json", "report.html", "confusion.png"}


def test_the_same_report_is_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_report(full(["jump", "run", "sit", "fall"]), tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_hostile_names_are_shown_as_text(tmp_path: Path) -> None:
    report = full(HOSTILE)
    page = page_of(report, tmp_path)
    assert not {"script", "u", "s", "b"} & set(page.tags)
    assert page.tags.count("img") == 5
    assert page.handlers == []
    assert page.open == []
    for text in (
        *HOSTILE[:4],
        "<i>gym</i>.zip",
        "<u>broken</u>.mp4",
        "<s>novel",
        "<b>base</b>",
        report["mistakes"][0]["clip"],
    ):
        assert " ".join(text.split()) in words(page)


def test_the_page_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    page = page_of(full(["jump", "run", "sit", "fall"]), tmp_path)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert len(page.addresses) == 5
    assert all(address.startswith("data:image/png;base64,") for address in page.addresses)
    assert set(re.findall(r"\w+://[\w.]+", html)) == {"http://127.0.0.1"}
    assert "url(" not in html
    assert "@import" not in html
    assert "default-src 'none'" in html


def test_the_pictures_in_the_page_are_those_beside_it(tmp_path: Path) -> None:
    page = page_of(full(["jump", "run", "sit", "fall"]), tmp_path)
    order = ("base-to-novel", "confusion", "curves", "correlation", "vectors")
    for address, name in zip(page.addresses, order, strict=True):
        png = base64.b64decode(address.partition(",")[2])
        assert png == (tmp_path / f"{name}.png").read_bytes()
        with Image.open(io.BytesIO(png)) as image:
            image.verify()


def test_headline_numbers_come_first(tmp_path: Path) -> None:
    report = full(["jump", "run", "sit", "fall", "walk", "clap"])
    text = words(page_of(report, tmp_path))
    view = report["views"]["1x1"]
    for name, value in (
        ("top-1", view["top1"]),
        ("mean class accuracy", view["mean_class_accuracy"]),
        ("macro mAP", view["map"]),
        ("top-5", view["top5"]),
    ):
        assert re.search(rf"{name} {100 * value:.1f} %", text[: text.index("What this means")]), name
    assert f"{round(view['top1'] * 60)} of 60 clips" in text


@pytest.mark.parametrize("classes", [2, 5])
def test_top_5_is_not_shown_if_it_is_always_100_percent(tmp_path: Path, classes: int) -> None:
    text = words(page_of(report_of([f"c{n}" for n in range(classes)], scored(classes, 20)), tmp_path))
    assert "Not shown" in text
    assert "best five" not in text


def test_few_clips_prove_no_improvement(tmp_path: Path) -> None:
    def verdict(gained: int) -> str:
        labels, right = np.zeros(40, np.int64), np.tile([0.9, 0.1], (40, 1))
        wrong = right.copy()
        wrong[:gained] = [0.1, 0.9]
        ids = [str(place) for place in range(40)]
        after = Scored(ids, labels, right)
        report = report_of(["a", "b"], after, before=compare_scores(Scored(ids, labels, wrong), after))
        return words(page_of(report, tmp_path / str(gained)))

    assert "training has helped" in verdict(20)
    assert "too few clips to say" in verdict(3)
    assert "did not change" in verdict(0)


@pytest.mark.parametrize(
    ("split", "base", "expected"),
    [
        ("train", "lite", "trained on these clips"),
        ("train", None, "If the model was trained on this dataset"),
        ("all", None, "If the model was trained on this dataset"),
        ("val", "lite", "These clips are a sample"),
    ],
)
def test_the_page_says_if_clips_may_have_been_trained_on(
    tmp_path: Path, split: str, base: str | None, expected: str
) -> None:
    text = words(page_of(report_of(["a", "b"], scored(2, 9), split=split, model={"base": base}), tmp_path))
    assert expected in text
    assert ("trained on" in text[: text.index("Classes")]) == (split != "val")


def test_classes_are_listed_worst_first_and_empty_ones_last(tmp_path: Path) -> None:
    classes = [f"class-{number}" for number in range(6)]
    report = report_of(classes, scored(6, 50, unseen=1))
    text = words(page_of(report, tmp_path))
    accuracy = {row["name"]: 2.0 if row["accuracy"] is None else row["accuracy"] for row in report["per_class"]}
    assert "1 class of 6 has no clip" in text
    firsts = re.findall(r"(class-\d) \d \d+ +[\d–]", text[text.index("worst first") :])
    assert [accuracy[name] for name in firsts] == sorted(accuracy.values())
    assert firsts[-1] == "class-5"


def test_without_a_clip_the_page_says_so(tmp_path: Path) -> None:
    text = words(page_of(report_of(["a", "b"], scored(2, 0)), tmp_path))
    assert "No clip of this split could be scored" in text


@pytest.mark.parametrize(("classes", "clips"), [(1, 3), (2, 1), (400, 500)])
def test_any_number_of_classes_and_clips(tmp_path: Path, classes: int, clips: int) -> None:
    names = [f"class {number}" for number in range(classes)]
    report = report_of(names, scored(classes, clips), classifiers={"text": np.eye(classes)})
    page = page_of(report, tmp_path)
    assert page.open == []
    assert page.text.count("class ") >= classes


def test_the_page_says_what_training_cost_other_labels(tmp_path: Path) -> None:
    measured = words(page_of(full(["a", "b"]), tmp_path / "1"))
    unknown = words(page_of(report_of(["a", "b"], scored(2, 9)), tmp_path / "2"))
    closed = words(page_of(report_of(["a", "b"], scored(2, 9), model={"open_labels": False}), tmp_path / "3"))
    untrained = words(page_of(report_of(["a", "b"], scored(2, 9), model={"base": None}), tmp_path / "4"))
    assert "harmonic mean" in measured
    assert "Not measured" in unknown
    assert "was not trained on" in unknown
    assert "its own classes only" in closed
    assert "was not trained on" not in closed
    assert "cost other labels" not in untrained


def test_the_commands_can_be_pasted_whatever_the_labels_contain(tmp_path: Path) -> None:
    classes = ['it\'s; `id` $(id) $HOME "x" \\', "a;type=text/html", "<b>&amp;"]
    text = page_of(report_of(classes, scored(3, 9)), tmp_path).text
    start = text.index("curl ")
    line = text[start : text.index("/v1/classify", start) + len("/v1/classify")]
    shell = ["bash", "-c", f"curl() {{ printf '%s\\0' \"$@\"; }}; {line}"]
    received = subprocess.run(shell, capture_output=True, check=True, text=True).stdout.split("\0")[:-1]
    assert received[:5] == ["-F", "video=@clip.mp4", "-F", "model=gym:3", "--form-string"]
    assert received[5].startswith("labels=")
    assert json.loads(received[5].removeprefix("labels=")) == classes
    assert received[6:] == ["http://127.0.0.1:8000/v1/classify"]


def test_a_loss_that_overflowed_is_null(tmp_path: Path) -> None:
    report = report_of(
        ["a", "b"],
        scored(2, 9),
        curves={
            "train": [{"step": 1, "epoch": 0.5, "loss": float("inf"), "lr": 1e-5}],
            "val": [{"epoch": 1.0, "loss": float("nan"), "top1": 0.5}],
        },
    )
    write_report(report, tmp_path)
    curves = json.loads((tmp_path / "report.json").read_text())["curves"]
    assert curves["train"][0]["loss"] is None
    assert curves["val"][0]["loss"] is None


def test_a_file_name_that_is_not_unicode_is_still_reported(tmp_path: Path) -> None:
    write_report(report_of(["a", "b"], scored(2, 9), skipped=[("caf\udce9.mp4", "undecodable_video")]), tmp_path)
    assert json.loads((tmp_path / "report.json").read_text())["skipped"][0]["clip"] == "caf\udce9.mp4"
    assert "caf?.mp4" in (tmp_path / "report.html").read_text(encoding="utf-8")
