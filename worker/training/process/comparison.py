"""Two models on the same held-out clips: which of them is better, beyond a paired bootstrap interval."""

from __future__ import annotations

from core.comparison.paired import compare_hits
from core.datasets import Item
from core.errors import InvalidRequest
from core.registry import CARD, Card
from core.training_requests import ComparisonRequest
from worker.children.messages import send_message
from worker.decoding.dataset_clips import ClipReader
from worker.decoding.pool import DecodePool
from worker.training.judging.gallery import Gallery, score_served
from worker.training.run.base_model import as_served, open_base_model, served_rows
from worker.training.run.division import samples_of
from worker.training.run.stop import Stop
from worker.training.run.world import World
from worker.training.spec import RunSpec


def run_comparison(spec: RunSpec, request: ComparisonRequest, world: World, pool: DecodePool, stop: Stop) -> None:
    """Send the comparison as the result. Clips that one of the models has learned from do not count. Raises:
    VireoError, Stopped."""
    held_out = spec.dataset.of("test") or spec.dataset.of("val")
    items = tuple(item for item in held_out if item.sha256 not in spec.trained_on)
    if not items:
        raise InvalidRequest(
            f"{request.candidate} and {request.standing} cannot be compared on {spec.dataset.id}: "
            + ("one of them has learned from all of its held-out clips." if held_out else "it has no held-out clips."),
            hint="Name another dataset, with clips that neither has seen.",
            field="dataset",
        )
    standing = spec.model_copy(update={"model": request.standing, "version": spec.other})
    hits = [_hits(side, items, world, pool, stop) for side in (spec, standing)]
    found = compare_hits(request.candidate, hits[0], request.standing, hits[1])
    if found is None:
        raise InvalidRequest("None of the held-out clips could be decoded.", field="dataset")
    if left_out := len(held_out) - len(items):
        found["sentence"] += f" Not counted: {left_out} clips that one of them has learned from."
    send_message("result", **found)


def _hits(spec: RunSpec, items: tuple[Item, ...], world: World, pool: DecodePool, stop: Stop) -> dict[str, bool]:
    """Clip → whether the model of the spec recognises its class, asked as a user asks it. Raises: VireoError,
    Stopped."""
    world.report_phase("preparing")
    base = open_base_model(spec)
    recognizer = as_served(base, spec, world.device, keep=False)
    classes = spec.dataset.labels
    rows = served_rows(recognizer, classes, normalise=_normalises(spec))
    if rows is None:
        unknown = next(label for label in classes if label not in recognizer.classes)
        raise InvalidRequest(
            f"{spec.model} knows only the classes that it was trained on; {unknown!r} is not one.", field="dataset"
        )
    world.report_phase("evaluating")
    gallery = Gallery(
        reader=ClipReader(pool, recognizer.profile, recognizer.profile.frames),
        items=items,
        samples=samples_of(items, classes, spec.clips),
        most=spec.settings.batch_frames,
        stop=stop,
        world=world,
        features=spec.feature_files(),
    )
    scored = score_served(recognizer, gallery, rows)
    return dict(zip(scored.ids, scored.hits.tolist(), strict=True))


def _normalises(spec: RunSpec) -> bool:
    """How questions to the model read labels."""
    if spec.version is None:
        return False
    return Card.model_validate_json((spec.version / CARD).read_text(encoding="utf-8")).normalizes_labels
