"""report.html: one file without scripts or links, to read on a phone, to keep and to send to others.

Class and file names are untrusted text. The template escapes everything, and a content security policy in the page
forbids it to load or run anything.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

import numpy as np

from worker.training.judging.measures import SINGLE, ClassRow
from worker.training.result.plots import mean_cosine
from worker.training.result.report_types import Report
from worker.training.result.templates import embedded, environment, moment

CONFUSIONS = 10
EXAMPLE_LABELS = 5  # in the example commands
ADDRESS = "http://127.0.0.1:8000"


def render_page(report: Report, pictures: Mapping[str, bytes]) -> str:
    """pictures: name → PNG, embedded."""
    views = report["views"]
    page = environment().get_template("report.html.j2")
    return page.render(
        report=report,
        single=views.get(SINGLE) or next(iter(views.values()), None),
        made=moment(report["created_at"]),
        pictures=embedded(pictures),
        rows=sorted(enumerate(report["per_class"], start=1), key=lambda row: _worst_first(row[1])),
        missing=sum(not row["support"] for row in report["per_class"]),
        confusions=_confusions(report),
        similar=_similar(report),
        commands=_commands(report),
    )


def _worst_first(row: ClassRow) -> tuple[float, int]:
    """Sort key: classes without clips come last."""
    accuracy = row["accuracy"]
    return (2.0 if accuracy is None else accuracy, -row["support"])


def _confusions(report: Report) -> list[dict[str, Any]]:
    """The most frequent confusions by name, because a picture of hundreds of classes does not show names."""
    classes = report["classes"]
    cells = [
        (clips, row, column)
        for row, counts in enumerate(report["confusion"])
        for column, clips in enumerate(counts)
        if clips and row != column
    ]
    return [
        {"true": classes[row], "given": classes[column], "clips": clips, "of": sum(report["confusion"][row])}
        for clips, row, column in sorted(cells, key=lambda cell: (-cell[0], *cell[1:]))[:CONFUSIONS]
    ]


def _similar(report: Report) -> dict[str, dict[str, Any]]:
    """For each classifier: the mean cosine between its rows, and the two most similar classes."""
    facts: dict[str, dict[str, Any]] = {}
    for name, cosines in report["classifier_correlation"].items():
        pairs = [(cosine, row, column) for row, line in enumerate(cosines) for column, cosine in enumerate(line[:row])]
        if pairs:
            cosine, row, column = max(pairs)
            classes = report["classes"]
            facts[name] = {
                "mean": mean_cosine(np.array(cosines)),
                "cosine": cosine,
                "one": classes[column],
                "other": classes[row],
            }
    return facts


def _commands(report: Report) -> list[tuple[str, str]]:
    """What each command is for, and a line to paste into a shell."""
    examples = [("With these classes", report["classes"][:EXAMPLE_LABELS])]
    if report["model"]["open_labels"]:
        examples.append(("With labels that it was not trained on", ["somebody falls", "nothing happens"]))
    return [(why, _curl(report["model"]["name"], labels)) for why, labels in examples]


def _curl(model: str, labels: list[str]) -> str:
    """Quoted for the shell, because a label may contain any character and must not run anything. `--form-string`,
    because `-F` would cut a label at its first semicolon."""
    fields = shlex.quote("labels=" + json.dumps(labels, ensure_ascii=False))
    model = shlex.quote("model=" + model)
    return f"curl -F video=@clip.mp4 -F {model} \\\n  --form-string {fields} \\\n  {ADDRESS}/v1/classify"
