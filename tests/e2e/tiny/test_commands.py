"""`vireo train`, `vireo eval`, `vireo import` and the rest as a user types them, against everything that is real."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.clips import SPECS, render
from tests.e2e.stack import BIN, Stack
from tests.models.official import clip_state, fusion_state, under

Vireo = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands are typed."""
    return tmp_path_factory.mktemp("here")


@pytest.fixture(scope="module")
def vireo(stack: Stack, directory: Path) -> Vireo:
    def run(*arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(BIN / "vireo"), *arguments, "--url", stack.url],
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done

    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten clips of two classes, and a file that is no video."""
    root = tmp_path_factory.mktemp("clips") / "My Scenes"
    for number in range(10):
        label, content = (("colour bars", "bars"), ("counting cells", "index"))[number % 2]
        (root / label).mkdir(parents=True, exist_ok=True)
        spec = replace(SPECS["h264"], frames=20 + number, content=content, matrix="bt709")  # type: ignore[arg-type]
        render(root / label / f"{number}.mp4", spec)
    (root / "colour bars" / "broken.mp4").write_bytes(b"this is no video")
    return root


@pytest.fixture(scope="module")
def trained(vireo: Vireo, folder: Path) -> subprocess.CompletedProcess[str]:
    return vireo("train", str(folder), "--epochs", "1", "--temporal", "mean", "--seed", "3")


def dataset_of(trained: subprocess.CompletedProcess[str]) -> str:
    dataset: str
    (dataset,) = set(re.findall(r"ds_[0-9a-f]{24}", trained.stderr))
    return dataset


def test_train_says_what_was_found_and_how_to_ask(trained: subprocess.CompletedProcess[str]) -> None:
    assert "broken.mp4" in trained.stderr
    assert "10 clips, 2 classes." in trained.stderr
    assert "vireo classify --model my-scenes:1 VIDEO" in trained.stdout


def test_eval_measures_the_version(vireo: Vireo, trained: subprocess.CompletedProcess[str]) -> None:
    done = vireo("eval", "my-scenes", dataset_of(trained), "--split", "all", "--views", "2x1", "--json")
    measured = json.loads(done.stdout)
    assert (measured["model"], measured["split"], measured["metrics"]["clips"]) == ("my-scenes:1", "all", 10)
    assert set(measured["views"]) == {"1x1", "2x1"}
    assert "There is no model" in vireo("eval", "nobody", dataset_of(trained), status=3).stderr


def test_what_cannot_be_trained_is_a_sentence(vireo: Vireo, trained: subprocess.CompletedProcess[str]) -> None:
    refused = vireo("train", dataset_of(trained), "--name", "few", "--shots", "50", status=3)
    assert "shots is 50" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_version_is_named_asked_and_exported(
    vireo: Vireo, trained: subprocess.CompletedProcess[str], folder: Path, directory: Path
) -> None:
    vireo("alias", "my-scenes@production", "1")
    assert "production → 1" in vireo("models").stdout
    clip = str(folder / "colour bars" / "0.mp4")
    answer = json.loads(vireo("classify", clip, "--model", "my-scenes@production", "--json").stdout)
    assert answer["model"] == "my-scenes:1"
    assert {row["label"] for row in answer["predictions"]} == {"colour bars", "counting cells"}
    vireo("export", "my-scenes", "weights.safetensors")
    assert (directory / "weights.safetensors").stat().st_size > 1000
    kinds = {job["kind"] for job in json.loads(vireo("jobs", "--json").stdout)}
    assert {"training", "dataset", "classification"} <= kinds


def test_a_score_is_explained_and_its_sheet_saved(
    vireo: Vireo, trained: subprocess.CompletedProcess[str], folder: Path, directory: Path
) -> None:
    clip = str(folder / "colour bars" / "0.mp4")
    answer = json.loads(vireo("explain", clip, "--model", "my-scenes:1", "--sheet", "where.png", "--json").stdout)
    assert answer["similarity"] == pytest.approx(sum(each["contribution"] for each in answer["frames"]), abs=1e-5)
    with Image.open(directory / "where.png") as sheet:
        assert sheet.size == (answer["sheet"]["width"], answer["sheet"]["height"])
    shown = vireo("explain", answer["video"]["id"], "--labels", "a", "b", "--label", "b", "--sheet", "b.png")
    assert shown.stdout.startswith("b · ")
    assert "The attention sheet is in b.png." in shown.stdout
    assert "not among the labels" in vireo("explain", clip, "--labels", "a", "b", "--label", "c", status=3).stderr


def test_a_published_checkpoint_becomes_a_version_that_answers(vireo: Vireo, folder: Path, directory: Path) -> None:
    state = under("module.", clip_state() | under("fusion_model.", fusion_state()))
    torch.save({"epoch": 30, "model_state_dict": state}, directory / "published.pt")
    clip = str(folder / "colour bars" / "0.mp4")
    done = vireo("import", "published.pt", "--as", "k400", "--base", "official", "--classes", "abseiling,zumba")
    assert "k400:1 is imported." in done.stdout
    answer = json.loads(vireo("classify", clip, "--model", "k400", "--json").stdout)
    assert answer["model"] == "k400:1"
    assert {row["label"] for row in answer["predictions"]} == {"abseiling", "zumba"}
    (directory / "text.pt").write_text("this is no checkpoint")
    refused = vireo("import", "text.pt", "--as", "k401", "--base", "official", status=5)
    assert "Traceback" not in refused.stderr
    assert "k401" not in vireo("models").stdout
