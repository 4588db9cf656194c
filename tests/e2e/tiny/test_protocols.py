"""Evaluation protocols as a user meets them: halves of the classes, a K-shot curve, base to novel."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from tests.clips import SPECS, render
from tests.e2e.runs import finished, upload
from tests.e2e.stack import Stack

CLASSES = ("bars", "cells", "dots", "lines")
CLIPS = 4  # of each class; one of them is held out


@pytest.fixture(scope="module")
def classes(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A dataset of four classes with two split columns; its id."""
    folder = tmp_path_factory.mktemp("classes")
    path = folder / "classes.zip"
    lines = ["path,label,split:1,split:2"]
    with zipfile.ZipFile(path, "w") as zipped:
        for number in range(CLIPS * len(CLASSES)):
            label = CLASSES[number % len(CLASSES)]
            spec = replace(SPECS["h264"], frames=12 + number, content="bars" if number % 2 else "index", matrix="bt709")
            zipped.write(render(folder / f"{number}.mp4", spec), f"{number}.mp4")
            lines.append(f"{number}.mp4,{label},{'test' if number < 8 else 'train'},{'test' if number % 4 < 2 else ''}")
        zipped.writestr("manifest.csv", "\n".join(lines))
    with stack.http() as http:
        return upload(http, path)


def evaluate(http: httpx2.Client, dataset: str, protocol: str, **options: Any) -> str:
    asked = {"model": "tiny", "dataset": dataset, "protocol": protocol} | options
    answer = http.post("/v1/evaluations", json=asked)
    assert answer.status_code == 202, answer.text
    job: str = answer.json()["id"]
    return job


def report(http: httpx2.Client, evaluation: str) -> dict[str, Any]:
    found: dict[str, Any] = http.get(f"/v1/evaluations/{evaluation}/files/report.json").json()
    return found


def test_a_curve_is_one_request(http: httpx2.Client, classes: str) -> None:
    job_id = evaluate(http, classes, "k-shot", shots=[1, 2], seeds=[0, 1])
    done = finished(http, job_id, seconds=250)
    found = done["result"]["protocol"]
    assert [(row["name"], row["draws"]) for row in found["rows"]] == [("0 shots", 1), ("1 shot", 2), ("2 shots", 2)]
    assert "Table 3" in found["source"]
    runs = [http.get(f"/v1/jobs/{draw['job']}").json() for draw in found["draws"] if draw["job"]]
    assert [(run["state"], run["attempts"], run["parent"]) for run in runs] == [("succeeded", 1, job_id)] * 4
    drawn = [draw["drawn"] for draw in report(http, job_id)["protocol_result"]["draws"]]
    assert drawn[0] is None  # the base as it is
    assert [sorted(map(len, each.values())) for each in drawn[1:]] == [[1] * 4, [1] * 4, [2] * 4, [2] * 4]
    assert all(set(drawn[1][name]) < set(drawn[3][name]) for name in CLASSES)  # the same seed: one shot is of the two
    assert http.get(f"/v1/evaluations/{job_id}/files/protocol.png").content.startswith(b"\x89PNG")
    assert http.get(f"/v1/evaluations/{job_id}").json()["rows"] == found["rows"]
    assert "It repeats" in http.get(done["result"]["report"]).text
    assert not any(model["name"].startswith("protocol-") for model in http.get("/v1/models").json()["data"])
    with http.stream("GET", f"/v1/jobs/{job_id}/events") as events:
        told = [json.loads(line.removeprefix("data: ")) for line in events.iter_lines() if line.startswith("data: {")]
    assert [each["step"] for each in told if each.get("phase") == "runs"] == [0, 1, 2, 3, 4]


def test_base_to_novel_trains_on_one_half_and_judges_both(http: httpx2.Client, classes: str) -> None:
    options = {"shots": [2], "seeds": [0], "name": "half", "training": {"epochs": 1, "frames": 2}}
    found = finished(http, evaluate(http, classes, "base-to-novel", **options), seconds=150)["result"]["protocol"]
    before, after = found["rows"]
    assert (before["name"], after["name"]) == ("before training", "after training")
    base, novel = (after["numbers"][name]["mean"] for name in ("base", "novel"))
    assert after["numbers"]["harmonic_mean"]["mean"] == pytest.approx(2 * base * novel / (base + novel or 1))
    (draw,) = (draw for draw in found["draws"] if draw["job"])
    assert (draw["classes"], draw["novel"], draw["clips"], draw["model"]) == (
        ["bars", "cells"],
        ["dots", "lines"],
        4,
        "half:1",
    )
    card = http.get("/v1/models/half/versions/1/files/card.json").json()
    assert (card["classes"], card["shots"]["k"]) == (["bars", "cells"], 2)


def test_halves_of_the_classes_are_judged_with_one_look_at_the_clips(http: httpx2.Client, classes: str) -> None:
    done = finished(http, evaluate(http, classes, "half-class", split="all"))
    (row,) = done["result"]["protocol"]["rows"]
    draws = done["result"]["protocol"]["draws"]
    assert (row["name"], len(draws)) == ("10 halves of the classes", 10)
    assert {draw["clips"] for draw in draws} == {2 * CLIPS}
    assert row["numbers"]["top1"]["mean"] == pytest.approx(sum(draw["numbers"]["top1"] for draw in draws) / 10)
