"""The commands as a user types them, against a real gateway with test doubles as workers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from core import errors
from core.comparison.paired import compare_hits
from core.labels.check import LabelCheck, LabelMap
from core.records import Job
from core.state import keys
from core.state.payloads import Payloads
from core.state.shadow_counts import COUNT, Look, Pair, count_args
from tests.client.conftest import Run
from tests.client.test_client import folder
from tests.core.calibration.records import PICTURE, published
from tests.service.doubles import AnsweringWorker, answering, classification
from tests.service.library import DATASET, Library
from tests.service.sites import Site
from vireo.cli.commands.learning.training import parse_novel, slug
from vireo.cli.follow import detail, event_line
from vireo.events import Event

METRICS = {"top1": 0.875, "top5": 1.0, "mean_class_accuracy": 0.85, "map": 0.9}
TRAINED = {
    "model": "my-gym:1",
    "version": 1,
    "metrics": METRICS,
    "views": {"1x1": METRICS, "4x3": METRICS | {"top1": 0.9}},
    "before": METRICS | {"top1": 0.25},
    "base_to_novel": {
        "before": {"base": 0.25, "novel": 0.5, "harmonic_mean": 0.333},
        "after": {"base": 0.9, "novel": 0.45, "harmonic_mean": 0.6},
    },
    "open_labels": True,
    "report": "/v1/models/my-gym/versions/1/report",
}
FINDINGS = [
    {"severity": "warning", "code": "undecodable", "message": "2 files are no videos.", "paths": ["a.txt"], "count": 2},
    {"severity": "info", "code": "no_split", "message": "A split was made.", "paths": [], "count": 1},
]


def prepare(library: Library) -> Callable[[Job], dict[str, Any]]:
    def answer(job: Job) -> dict[str, Any]:
        library.dataset()
        return {"dataset": DATASET, "name": job.request["name"], "classes": 3, "clips": 11, "report": FINDINGS}

    return answer


def test_from_a_folder_to_a_model(run: Run, library: Library, redis_url: str, tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = []

    def train(job: Job) -> dict[str, Any]:
        asked.append(job.request)
        return TRAINED

    with answering(redis_url, prepare(library), keys.DATASETS), answering(redis_url, train, keys.TRAINING):
        done = run("train", str(folder(tmp_path / "My Gym")), "--base", "lite", "--epochs", "5", "--novel", "swimming")
    assert done.exit_code == 0, done.output
    assert "2 files are no videos." in done.stderr
    assert "11 clips, 3 classes" in done.stderr
    for words in ("87.5%", "25.0%", "90.0%", "mean class accuracy", "mAP", "classes left out", "harmonic mean"):
        assert words in done.stdout
    assert "vireo classify --model my-gym:1 VIDEO" in done.stdout
    assert "/v1/models/my-gym/versions/1/report" in done.stdout
    assert (asked[0]["name"], asked[0]["base"], asked[0]["epochs"]) == ("my-gym", "lite", 5)
    assert (asked[0]["novel"], asked[0]["dataset"]) == (["swimming"], DATASET)


def test_training_on_a_dataset_id_needs_a_name_for_the_model(run: Run, library: Library, redis_url: str) -> None:
    library.dataset()
    assert run("train", DATASET).exit_code == 2
    with answering(redis_url, lambda _: TRAINED | {"base_to_novel": None, "open_labels": False}, keys.TRAINING):
        done = run("train", DATASET, "--name", "my-gym", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["model"] == "my-gym:1"


def test_a_refused_dataset_is_reported_and_nothing_is_trained(run: Run, redis_url: str, tmp_path: Path) -> None:
    error = errors.InvalidDataset("Nothing can be trained on it.", report=FINDINGS)
    with answering(redis_url, lambda _: error, keys.DATASETS):
        done = run("train", str(folder(tmp_path / "gym")))
    assert done.exit_code == 5
    assert "2 files are no videos." in done.stderr
    assert "Nothing can be trained on it." in done.stderr
    assert done.stdout == ""


def test_a_failed_run_says_how_to_continue(run: Run, library: Library, redis_url: str) -> None:
    library.dataset()
    outcomes: list[dict[str, Any] | errors.VireoError] = [
        errors.TrainingFailed("The loss is not a number.", step=3),
        TRAINED,
    ]
    with answering(redis_url, lambda _: outcomes.pop(0), keys.TRAINING) as worker:
        failed = run("train", DATASET, "--name", "my-gym")
        assert failed.exit_code == 5
        assert "The loss is not a number." in failed.stderr
        assert f"vireo resume {worker.seen[0]}" in failed.stderr
        assert run("resume", worker.seen[0]).exit_code == 0


def test_ctrl_c_cancels_the_job_and_says_how_to_continue(
    run: Run, library: Library, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    library.dataset()
    monkeypatch.setattr("vireo.cli.commands.learning.training.follow", interrupted)
    done = run("train", DATASET, "--name", "my-gym")
    assert done.exit_code == 130
    job = json.loads(run("jobs", "--json").stdout)[0]
    assert (job["kind"], job["state"]) == ("training", "cancelled")
    assert f"vireo resume {job['id']}" in done.stderr


def test_eval(run: Run, library: Library, redis_url: str) -> None:
    library.dataset()
    library.version("gym", 1)
    half = {"top1": {"mean": 0.5, "std": 0.1}, "top5": None}
    rows = [{"name": "10 halves of the classes", "draws": 10, "shots": None, "numbers": half}]
    protocol = {"name": "half-class", "source": "Table 4", "rows": rows, "draws": []}
    result = {"evaluation": "job_1", "model": "gym:1", "metrics": METRICS, "protocol": protocol, "report": "/r"}
    with answering(redis_url, lambda _: result, keys.TRAINING) as worker:
        done = run("eval", "gym", DATASET, "--views", "4x3", "--split", "all", "--protocol", "standard")
        assert done.exit_code == 0, done.output
        assert "87.5%" in done.stdout
        assert "50.0% ± 10.0%" in done.stdout
        assert "It repeats: Table 4" in done.stdout
        request = worker.job(worker.seen[0]).request
        assert (request["views"], request["normalize_labels"]) == ("4x3", None)
        assert (request["split"], request["protocol"]) == ("all", "full-class")
        assert run("eval", "gym", DATASET, "--raw-labels").exit_code == 0
        assert worker.job(worker.seen[1]).request["normalize_labels"] is False
    assert run("eval", "gym:9", DATASET).exit_code == 3
    curve = ("eval", "lite", DATASET, "--protocol", "k-shot", "--shots", "1,2", "--seeds", "0", "--epochs", "2")
    refused = run(*curve, "--method", "vify")
    assert "training.method" in refused.stderr
    assert run("eval", "lite", DATASET, "--shots", "one").exit_code == 2
    with answering(redis_url, lambda _: result | {"metrics": None, "views": {}}, keys.TRAINING) as worker:
        assert run(*curve, "--keep-as", "curve").exit_code == 0
        request = worker.job(worker.seen[0]).request
        assert (request["shots"], request["seeds"], request["name"], request["training"]["epochs"]) == (
            [1, 2],
            [0],
            "curve",
            2,
        )


def test_the_shadow_of_an_alias(run: Run, library: Library, site: Site) -> None:
    for version in (1, 2):
        library.version("gym", version)
    run("alias", "gym@production", "1")
    assert "has no shadow" in run("shadow", "gym@production").stderr
    said = run("shadow", "gym@production", "2", "--share", "0.5").stdout
    assert "gym:2 scores 50% of the questions to gym@production, which gym:1 answers." in said
    assert "No question has been scored by both yet" in said
    pair, count = Pair("gym", "production", 1, 2), site.redis.register_script(COUNT)
    for outcome, label in (("agreed", "squat"), ("differed", "lunge"), ("failed", "")):
        looks = Look("squat", 0.5), Look(label, 0.25)
        script_keys, args = count_args(pair, outcome, 1.0, looks, "no such class")  # type: ignore[arg-type]
        count(keys=script_keys, args=args)
    shown = run("shadow", "gym@production")
    assert "agree on 1 of 2 questions (50.0%; 0 skipped under load, 1 failed)" in shown.stdout
    assert "Mean margin: 0.500, of the shadow 0.250." in shown.stdout
    assert "lunge" in shown.stdout
    assert "The last failure: no such class" in shown.stderr
    assert json.loads(run("shadow", "gym@production", "--json").stdout)["counts"]["agreed"] == 1
    assert run("shadow", "gym@production", "2", "--off").exit_code == 2
    assert run("shadow", "gym@production", "--off").exit_code == 0
    assert run("shadow", "gym@production").exit_code == 3


def test_comparing_a_model_with_that_of_an_alias(run: Run, library: Library, redis_url: str) -> None:
    library.dataset()
    for version in (1, 2):
        library.version("gym", version, dataset={"id": DATASET, "digest": f"d{version}"})
    run("alias", "gym@production", "1")
    said = compare_hits("gym:2", {"a": True}, "gym:1", {"a": False})
    assert said is not None
    with answering(redis_url), answering(redis_url, lambda _: dict(said), keys.TRAINING):
        assert said["sentence"] in run("compare", "gym@production", "gym:2").stdout
        shown = run("compare", "gym@production", "gym:2", "--dataset", DATASET, "--json").stdout
    assert json.loads(shown)["verdict"] == said["verdict"]
    assert "has no alias" in run("compare", "gym@none", "gym:2").stderr


def test_models_aliases_jobs(run: Run, library: Library) -> None:
    library.version("gym", 1)
    assert "production → 1" not in run("models").stdout
    assert run("alias", "gym@production", "1").exit_code == 0
    assert "production → 1" in run("models").stdout
    assert run("alias", "gym", "1").exit_code == 2
    assert "has no version 7" in run("alias", "gym@production", "7").stderr
    library.dataset()
    assert run("jobs").exit_code == 0
    assert run("cancel", "job_1").exit_code == 3
    assert run("export", "gym", "weights.pt").exit_code == 2


def test_export_says_what_is_left_out(
    run: Run, library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = dict.fromkeys(("visual.proj", "temporal.w", "context"), np.ones((2, 2)))
    monkeypatch.setattr("tests.service.library.WEIGHTS", save(weights))
    head = {"temporal": {"kind": "transformer"}, "architecture": "ViT-B-16-quickgelu", "base": "clip-b16"}
    library.version("k400", 1, **head, text="base", open_labels=False)
    done = run("export", "k400", str(tmp_path / "a.safetensors"))
    assert done.exit_code == 0, done.output
    printed = " ".join(done.stderr.split())
    for words in (
        "head (transformer) is left out",
        "context vectors",
        "classifier is left out",
        "the text tower of clip-b16",
    ):
        assert words in printed
    assert "create_model" not in done.stdout
    monkeypatch.setattr(
        "tests.service.library.WEIGHTS", save({"visual.proj": np.ones(2), "text_projection": np.ones(2)})
    )
    library.version("whole", 1, architecture="ViT-B-16-quickgelu")
    done = run("export", "whole", str(tmp_path / "b.safetensors"))
    assert "open_clip.create_model('ViT-B-16-quickgelu'" in done.stdout
    assert "left out" not in done.stderr
    library.version("own", 1, architecture="custom-0123456789abcdef")
    assert "open_clip lists no custom-0123" in run("export", "own", str(tmp_path / "c.safetensors")).stderr
    library.version("small", 1)
    refused = run("export", "small", str(tmp_path / "d.safetensors"))
    assert refused.exit_code == 1
    assert "no architecture of open_clip" in " ".join(refused.stderr.split())


def test_importing(run: Run, redis_url: str, tmp_path: Path) -> None:
    (tmp_path / "k400.pt").write_bytes(b"weights")
    with answering(redis_url, lambda _: {"model": "k400:1", "note": "8 frames."}, keys.DATASETS) as worker:
        done = run("import", str(tmp_path / "k400.pt"), "--as", "k400", "--classes", "a,b")
        assert done.exit_code == 0, done.output
        assert "k400:1 is imported." in done.stdout
        assert worker.job(worker.seen[0]).request["classes"] == ["a", "b"]


def test_classify_with_a_fine_tuned_model(run: Run, library: Library, redis_url: str, tmp_path: Path) -> None:
    library.version("gym", 1)
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"x")
    with answering(redis_url) as worker:
        assert isinstance(worker, AnsweringWorker)
        done = run("classify", str(clip), "--model", "gym")
        assert done.exit_code == 0, done.output
        assert "boxing" in done.stdout
        assert "gym:1" in done.stdout


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("My Gym", "my-gym"),
        ("data/ÄÖ.zip", "model"),
        ("x.tar.gz", "x"),
        ("Kick_Box 2.tgz", "kick_box-2"),
        ("a" * 90, "a" * 63),
    ],
)
def test_model_names_from_file_names(source: str, name: str) -> None:
    assert slug(source) == name


def test_parsing_and_formatting() -> None:
    assert parse_novel("0.5") == 0.5
    assert parse_novel("a, b") == ["a", "b"]
    assert parse_novel(None) is None
    assert detail({"epoch": 1.5, "epochs": 5, "loss": 0.8123, "lr": 4e-5, "samples_per_s": 12.06, "eta_s": 310}) == (
        "epoch 1.5/5 · loss 0.812 · lr 4.0e-05 · 12.1 clips/s · 5 min left"
    )
    assert detail({"phase": "preparing", "step": 3, "steps": 9}) == "3/9"
    assert (
        event_line(Event("1-0", "metric", {"epoch": 2, "split": "val", "top1": 0.5}))
        == "epoch 2: validation top1 50.0%"
    )
    assert event_line(Event("1-0", "metric", {"epoch": 2, "split": "train", "loss": 0.5})) is None


def test_a_calibration_shows_score_and_confidence_side_by_side(
    run: Run, library: Library, redis_url: str, tmp_path: Path
) -> None:
    library.dataset(counts=dict.fromkeys(("boxing", "running", "swimming", "rowing"), (4, 1)))
    asked: list[dict[str, Any]] = []

    def calibrate(job: Job) -> dict[str, Any]:
        asked.append(job.request)
        made = published(library.store, tmp_path / "new", notes=["Mind this."])
        return made.model_dump(mode="json")

    with answering(redis_url), answering(redis_url, calibrate, keys.TRAINING):
        picture = tmp_path / "diagram.png"
        done = run("calibrate", "lite", "--dataset", DATASET, "--diagram", str(picture))
    assert done.exit_code == 0, done.output
    assert (asked[0]["model"], asked[0]["dataset"], asked[0]["label_set"]) == ("lite", DATASET, None)
    for words in ("lite: classes left out", "calibration error (ECE)", "0.400", "0.050", "Mind this.", "Version 1"):
        assert words in done.stdout
    assert picture.read_bytes() == PICTURE
    assert "/files/reliability.png" in done.stdout


def test_confidence_is_shown_if_the_model_is_calibrated(run: Run, redis_url: str, tmp_path: Path) -> None:
    def sure(job: Job) -> dict[str, Any]:
        answer = classification(job)
        first, *rest = answer["predictions"]
        first |= {"confidence": 0.87, "present": True}
        return answer | {
            "calibrated": True,
            "predictions": [first, *({**each, "confidence": 0.1, "present": False} for each in rest)],
        }

    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"video")
    asked: list[dict[str, Any]] = []

    def answer(job: Job) -> dict[str, Any]:
        asked.append(job.request["question"])
        return sure(job)

    with answering(redis_url, answer):
        done = run("classify", str(clip), "--labels", "cat,dog", "--multi", "--threshold", "0.4")
    assert done.exit_code == 0, done.output
    assert (asked[0]["mode"], asked[0]["threshold"]) == ("multi", 0.4)
    assert "confidence" in done.stdout
    assert "87%" in done.stdout
    assert "✓ cat" in done.stdout
    assert "✓ dog" not in done.stdout


def test_labels_are_checked_with_suggestions(run: Run, site: Site, redis_url: str, tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = []

    def check(job: Job) -> dict[str, Any]:
        asked.append(job.request)
        Payloads(site.gateway.store, 1).write_picture(job.id, "labels.png", PICTURE)
        answer = LabelCheck(
            id=job.id,
            model="lite",
            checked=len(job.request["labels"]),
            findings=job.request["found"],
            near=0.7,
            mean_similarity=0.1,
            map=LabelMap(url=f"/v1/jobs/{job.id}/files/labels.png", width=1, height=1),
        )
        return answer.model_dump(mode="json")

    picture = tmp_path / "labels.png"
    with answering(redis_url, check):
        done = run("labels", "check", "--labels", "BrushHair,brush hair", "--map", str(picture))
        assert done.exit_code == 0, done.output
        assert "are the same label" in done.stdout
        assert "Keep one of them" in done.stdout
        assert picture.read_bytes() == PICTURE
        assert "2 labels: nothing to mend" in run("labels", "check", "--labels", "a cat,a dog").stdout
        assert run("labels", "check").exit_code == 2
        assert run("labels", "check", "--labels", "a", "--label-set", "b").exit_code == 2
    assert [label["name"] for label in asked[0]["labels"]] == ["BrushHair", "brush hair"]
