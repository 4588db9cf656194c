"""The report of a protocol that trains: its table by hand, its page, its plot."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from core.protocols.catalogue import PROTOCOLS
from core.results import Row
from core.settings import Settings
from tests.core.protocols.scenes import asked, dataset_of
from tests.core.protocols.test_catalogue import card
from worker.training.result.protocol_plots import PLOTS
from worker.training.result.protocol_report import report_protocol, sum_up_runs
from worker.training.spec import Outcome, RunSpec

COUNTS = {"<b>jump</b>": (4, 1), "run": (4, 1), "sit": (4, 1), "walk": (4, 1)}


def outcomes(protocol: str, tops: dict[tuple[int, int], float], **options: Any) -> tuple[Outcome, ...]:
    """tops: (shots, seed) → the version's top-1."""
    request = asked(protocol, **options)
    runs = PROTOCOLS[request.protocol].runs(request, dataset_of(COUNTS))
    trio = {"base": 0.5, "novel": 0.5, "harmonic_mean": 0.5}
    return tuple(
        Outcome(
            name=run.name,
            shots=run.shots,
            seed=run.seed,
            novel=run.novel,
            job=f"job_{number}",
            card=card(
                version=number + 1,
                metrics={"split": "test", "views": {"1x1": {"top1": tops[run.shots, run.seed], "clips": 4}}}
                | {"before": {"top1": 0.25, "clips": 4}},
                base_to_novel={"before": trio, "after": trio | {"novel": tops[run.shots, run.seed]}}
                | {"novel_classes": list(run.novel)},
                shots={"clips": {"run": [f"run/{run.seed}"]}},
            ),
        )
        for number, run in enumerate(runs)
    )


def test_a_curve_has_a_row_for_each_number_of_shots_and_one_for_the_base() -> None:
    tops = {(1, 0): 0.25, (1, 1): 0.75, (2, 0): 1.0, (2, 1): 0.5}
    found = sum_up_runs(PROTOCOLS["k-shot"], outcomes("k-shot", tops, shots=[1, 2], seeds=[0, 1]))
    rows = [(row["name"], row["shots"], row["draws"], row["numbers"]["top1"]) for row in found["rows"]]
    assert rows == [
        ("0 shots", 0, 1, {"mean": 0.25, "std": 0.0}),
        ("1 shot", 1, 2, {"mean": 0.5, "std": 0.25}),
        ("2 shots", 2, 2, {"mean": 0.75, "std": 0.25}),
    ]
    base, first, *_ = found["draws"]
    assert (base["job"], base["drawn"]) == (None, None)
    assert (first["job"], first["drawn"], first["model"], first["clips"]) == ("job_0", {"run": ["run/0"]}, "gym:1", 4)


def test_base_to_novel_has_a_row_before_and_one_after() -> None:
    tops = {(4, 0): 1.0, (4, 1): 0.5, (4, 2): 0.0}
    found = sum_up_runs(PROTOCOLS["base-to-novel"], outcomes("base-to-novel", tops, shots=[4]))
    before, after = found["rows"]
    assert (before["draws"], after["draws"]) == (1, 3)
    assert after["numbers"]["novel"] == {"mean": 0.5, "std": pytest.approx((1 / 6) ** 0.5)}
    assert found["draws"][1]["novel"] == ["sit", "walk"]


@pytest.mark.parametrize(("protocol", "shots"), [("k-shot", [1, 2]), ("base-to-novel", [2])])
def test_the_report_is_a_page_a_picture_and_numbers(tmp_path: Path, protocol: str, shots: list[int]) -> None:
    request = asked(protocol, shots=shots, seeds=[0, 1])
    tops = {(k, seed): 0.5 for k in shots for seed in (0, 1)}
    spec = RunSpec(
        job="job_0",
        evaluation=request,
        outcomes=outcomes(protocol, tops, shots=shots, seeds=[0, 1]),
        model="tiny",
        version=None,
        dataset=dataset_of(COUNTS),
        clips=tmp_path,
        checkpoint=None,
        scratch=tmp_path,
        frames=tmp_path,
        settings=Settings(data_dir=tmp_path),
    )
    spec.output.mkdir()
    report_protocol(RunSpec.model_validate_json(spec.model_dump_json()), request)
    assert {path.name for path in spec.output.iterdir()} == {"report.json", "report.html", "protocol.png"}
    report = json.loads((spec.output / "report.json").read_text())
    assert (report["model"]["name"], report["split"], report["protocol"]) == ("tiny", "test", protocol)
    page = (spec.output / "report.html").read_text()
    assert report["protocol_result"]["source"].split('"')[0] in page
    assert "run/0" in page
    assert "<b>jump</b>" not in page.replace("<b>run</b>", "")
    assert "<script" not in page


def test_plots_show_what_is_there() -> None:
    rows: list[Row] = [
        {"name": "0 shots", "draws": 1, "shots": 0, "numbers": {"top1": {"mean": 0.25, "std": 0.0}}},
        {"name": "1 shot", "draws": 2, "shots": 1, "numbers": {"top1": {"mean": 0.5, "std": 0.25}}},
        {"name": "2 shots", "draws": 2, "shots": 2, "numbers": {"top1": None}},
    ]
    for plot in PLOTS.values():
        whole, without = plot(rows), plot(rows[1:])
        assert Image.open(io.BytesIO(whole)).size == (1200, 700)
        assert whole == plot(rows) != without
