"""A training child without training. The name of the model says what it does."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from core.registry import CARD, Card
from tests.worker.training.job.talking_child import PATIENCE, child_of, wait_for
from worker.children.fork_loop import serve
from worker.children.messages import send_message
from worker.training.spec import RunSpec


def act(path: Path) -> None:
    spec = RunSpec.read(path)
    with (spec.settings.data_dir / "specs.jsonl").open("a") as specs:
        specs.write(spec.model_dump_json() + "\n")
    if spec.version is not None:
        assert (spec.version / CARD).is_file()
    spec.frames.mkdir(exist_ok=True)
    if spec.evaluation is not None:
        (spec.output / "report.json").write_text(f'"{spec.evaluation.model}"')
        send_message("result", metrics=None, evaluation=spec.job)
        return
    if spec.comparison is not None:
        send_message("result", other=spec.other is not None and (spec.other / CARD).is_file())
        return
    if spec.preview is not None:
        send_message("result")
        return
    assert spec.training is not None
    if spec.training.name == "dies-early":
        return
    checkpoint = spec.scratch / "checkpoint-1.pt"
    before = spec.checkpoint.read_text() + " and " if spec.checkpoint else ""
    checkpoint.write_text(f"{before}step 1")
    send_message("checkpoint", path=str(checkpoint), step=1, epoch=1.0)
    match spec.training.name:
        case "fails":
            send_message("error", code="training_failed", message="The loss is not finite.")
            send_message("result", metrics=None)
        case "waits":
            time.sleep(PATIENCE)
        case "publishes" | "dies-publishing":
            send_message("ready")
            wait_for(spec.number)
            if spec.training.name == "dies-publishing" and not spec.checkpoint:
                return
            card = card_of(spec.job, spec.training.name, int(spec.number.read_text()))
            if alias := spec.training.promote:
                standing = spec.standing and spec.standing[0]
                assert spec.standing is None or (spec.standing[1] / CARD).is_file()
                found = {"alias": alias, "promoted": alias != "hopeless", "reason": "", "standing": standing}
                card = card.model_copy(update={"metrics": card.metrics | {"promotion": found | {"comparisons": []}}})
            (spec.output / CARD).write_text(card.model_dump_json())
            send_message("result", metrics=None)


def card_of(job: str, name: str, version: int) -> Card:
    return Card(
        name=name,
        version=version,
        created_at=0.0,
        origin="trained",
        base="tiny",
        architecture="tiny",
        method="text4vis",
        temporal={"kind": "mean"},
        classifier={"kind": "text"},
        classes=("a", "b"),
        open_labels=True,
        profile={},
        dim=2,
        logit_scale=1.0,
        digest=job,
        text_digest="",
        metrics={"views": {}},
        job=job,
    )


if __name__ == "__main__":
    serve(int(sys.argv[1]), child_of(act))
