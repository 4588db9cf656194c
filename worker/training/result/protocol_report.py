"""The report of a protocol that trains: its table, its plot and what it drew. No torch: the cards say everything."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from core.protocols.catalogue import protocol_of
from core.protocols.protocol import Protocol
from core.protocols.sums import sum_up
from core.registry import REPORT, REPORT_PAGE
from core.results import Draw, ProtocolResult
from core.training_requests import EvaluationRequest
from worker.children.messages import send_message
from worker.training.result.protocol_plots import PLOTS
from worker.training.result.templates import embedded, environment, moment
from worker.training.spec import Outcome, RunSpec

PICTURE = "protocol"


def report_protocol(spec: RunSpec, request: EvaluationRequest) -> None:
    """Write the report of the spec's outcomes to `spec.output`, and say that it is there."""
    send_message("progress", phase="publishing")
    protocol = protocol_of(request)
    found = sum_up_runs(protocol, spec.outcomes)
    cards = [outcome.card for outcome in spec.outcomes]
    dataset = spec.dataset
    report = {
        "format": 1,
        "model": {"name": cards[0].base},
        "dataset": {"id": dataset.id, "digest": dataset.digest, "name": dataset.name},
        "split": cards[0].metrics["split"],
        "protocol": protocol.name,
        "created_at": time.time(),
        "views": {},
        "training": None
        if request.training is None
        else request.training.model_dump(mode="json", exclude_defaults=True),
        "method": cards[0].method,
        "recipe": cards[0].recipe,
        "protocol_result": found,
    }
    pictures = {} if protocol.plot is None else {PICTURE: PLOTS[protocol.plot](found["rows"])}
    for name, png in pictures.items():
        (spec.output / f"{name}.png").write_bytes(png)
    (spec.output / REPORT).write_text(json.dumps(report, allow_nan=False), encoding="utf-8")
    page = environment().get_template("protocol.html.j2")
    text = page.render(
        report=report, protocol=found, made=moment(time.time()), pictures=embedded(pictures), card=cards[0]
    )
    (spec.output / REPORT_PAGE).write_bytes(text.encode("utf-8", "replace"))
    send_message("result", evaluation=spec.job)


def sum_up_runs(protocol: Protocol, outcomes: Sequence[Outcome]) -> ProtocolResult:
    draws = [draw for place, outcome in enumerate(outcomes) for draw in _draws(protocol, outcome, first=place == 0)]
    return {
        "name": protocol.name,
        "about": protocol.about,
        "source": protocol.source,
        "rows": sum_up(draws),
        "draws": draws,
    }


def _draws(protocol: Protocol, outcome: Outcome, *, first: bool) -> list[Draw]:
    """The last line is about the version that the run has trained; the others are about the base."""
    card = outcome.card
    lines = protocol.lines(outcome.run, first, card)
    return [
        {
            "name": outcome.name if line is lines[-1] else f"{card.base} as it is",
            "row": line.row,
            "shots": line.shots,
            "numbers": dict(line.numbers),
            "clips": line.clips,
            "classes": list(card.classes),
            "novel": [] if card.base_to_novel is None else list(card.base_to_novel["novel_classes"]),
            "drawn": None if line is not lines[-1] or card.shots is None else card.shots["clips"],
            "job": outcome.job if line is lines[-1] else None,
            "model": f"{card.name}:{card.version}" if line is lines[-1] else card.base,
        }
        for line in lines
    ]
