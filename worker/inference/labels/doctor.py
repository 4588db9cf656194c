"""How labels are checked by a model's own text encoder. Rows come from the caches of questions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import torch

from core.errors import InvalidRequest
from core.labels.check import LabelCheck, LabelCheckRequest, LabelFinding, LabelMap, LabelMapName
from core.labels.spelling import quoted
from core.questions import Label, Question
from core.records import Job
from models.classifier.likeness import DIFFERENT, near_pairs, near_threshold, template_sensitive
from worker.inference.label_rows import label_rows
from worker.inference.labels.heat_map import draw_heat_map
from worker.inference.loading.shelf import Loaded
from worker.inference.runtime import Runtime
from worker.jobs.cancellation import CancelToken

MAP: LabelMapName = "labels.png"
MOST_FINDINGS: Final = 100
OTHER_TEMPLATES: Final = ("{}", "a video of {}.", "a photo of {}.")
_ORDER: Final = {"error": 0, "warning": 1, "info": 2}

KeepPicture = Callable[[LabelMapName, bytes], None]


def answer_label_check(runtime: Runtime, job: Job, token: CancelToken, keep: KeepPicture) -> dict[str, Any]:
    """`keep`: puts the map beside the job. Raises: VireoError."""
    request = LabelCheckRequest.model_validate(job.request, extra="ignore")
    loaded = runtime.shelf.get(request.model, token)
    if loaded.recognizer.fixed_rows is not None:
        raise InvalidRequest(
            f"{loaded.ref.name} reads no text: its labels are the classes that it was trained on.",
            hint="Check the labels with the model that it was trained from.",
            field="model",
        )
    question = Question(labels=request.labels, templates=request.templates, normalize_labels=request.normalize_labels)
    classifier, _ = label_rows(runtime, loaded, question, token)
    rows = classifier.matrix  # [C, d]
    token.check()
    near = near_threshold(_rows_of(runtime, loaded, question, tuple(Label(name=name) for name in DIFFERENT), token))
    findings = [
        *request.found,
        *_truncated(request, classifier.truncated),
        *_near(request, rows, near),
        *_sensitive(request, rows, _by_other_templates(runtime, loaded, question, token)),
    ]
    findings.sort(key=lambda finding: (_ORDER[finding.severity], -(finding.similarity or 0.0)))
    cosines = rows @ rows.T  # [C, C]
    picture = draw_heat_map(cosines.numpy())
    keep(MAP, picture.png)
    answer = LabelCheck(
        id=job.id,
        model=loaded.ref.name,
        checked=len(rows),
        findings=findings[:MOST_FINDINGS],
        left_out=max(0, len(findings) - MOST_FINDINGS),
        near=round(near, 6),
        mean_similarity=_mean_similarity(cosines),
        map=LabelMap(url=f"/v1/jobs/{job.id}/files/{MAP}", width=picture.width, height=picture.height),
    )
    return answer.model_dump(mode="json")


def _rows_of(
    runtime: Runtime, loaded: Loaded, question: Question, labels: tuple[Label, ...], token: CancelToken
) -> torch.Tensor:
    """The rows of labels of ours, read as the question's. The limit of texts is for those of users."""

    def encode(texts: list[str]) -> tuple[torch.Tensor, list[bool]]:
        encoded = loaded.towers.texts.encode(texts, token)
        return encoded.vectors, encoded.truncated

    templates = question.templates or loaded.recognizer.profile.templates
    normalise = bool(question.normalize_labels)
    return runtime.classifiers.classifier(loaded.recognizer, labels, templates, normalise, encode)[0].matrix


def _by_other_templates(runtime: Runtime, loaded: Loaded, question: Question, token: CancelToken) -> list[torch.Tensor]:
    """The rows of the same labels by usual templates that the question does not use."""
    own = question.templates or loaded.recognizer.profile.templates
    return [
        label_rows(runtime, loaded, question.model_copy(update={"templates": (template,)}), token)[0].matrix
        for template in OTHER_TEMPLATES
        if own != (template,)
    ]


def _mean_similarity(cosines: torch.Tensor) -> float | None:
    """cosines: [C, C]; the mean off the diagonal."""
    count = len(cosines)
    return round(float((cosines.sum() - cosines.trace()) / (count * (count - 1))), 6) if count > 1 else None


def _truncated(request: LabelCheckRequest, places: tuple[int, ...]) -> Iterator[LabelFinding]:
    if places:
        names = [request.labels[place].name for place in places]
        yield LabelFinding(
            severity="warning",
            code="truncated",
            message=f"{quoted(names)}: longer than the text encoder reads; only the beginning counts.",
            suggestion="Shorten them: text encoders read a few dozen words at most.",
            labels=names,
        )


def _near(request: LabelCheckRequest, rows: torch.Tensor, near: float) -> Iterator[LabelFinding]:
    known = _duplicates(request)
    for pair in near_pairs(rows, near):
        names = [request.labels[pair.first].name, request.labels[pair.second].name]
        if any(group.issuperset(names) for group in known):
            continue
        yield LabelFinding(
            severity="warning",
            code="near_synonyms",
            message=f"{names[0][:60]!r} and {names[1][:60]!r} are nearly the same to this model "
            f"(cosine {pair.cosine:.2f}).",
            suggestion="Merge them if they mean the same, or give each one prompts that say how they differ.",
            labels=names,
            similarity=round(pair.cosine, 6),
        )


def _sensitive(request: LabelCheckRequest, rows: torch.Tensor, others: list[torch.Tensor]) -> Iterator[LabelFinding]:
    known = _duplicates(request)
    for place, other in template_sensitive(rows, others):
        label, nearest = request.labels[place], request.labels[other]
        if nearest.name == label.name or any(group.issuperset((label.name, nearest.name)) for group in known):
            continue  # which of two equal rows is nearest is a matter of rounding
        if label.prompts is None:
            yield LabelFinding(
                severity="info",
                code="template_sensitive",
                message=f"{label.name[:60]!r} depends on the template: by another one it is more similar to "
                f"{nearest.name[:60]!r} than to itself.",
                suggestion="Give it prompts: whole sentences that say what can be seen.",
                labels=[label.name, nearest.name],
            )


def _duplicates(request: LabelCheckRequest) -> set[frozenset[str]]:
    """Labels that are found already as one in different spellings."""
    return {frozenset(finding.labels) for finding in request.found if finding.code == "duplicate"}
