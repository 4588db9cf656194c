from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy, normalize

from models.classifier import ensemble
from models.classifier.ensemble import build_rows
from models.classifier.inputs import TextInputs
from models.classifier.rows import Classifier, Features, build_classifier, logits, orthogonal
from models.fitting.optimizer import build_optimizer
from models.fitting.recipes import RECIPES
from models.recognition.base import Base
from tests.models.conftest import clip_recognizer, tiny_base, tiny_clip

LABELS = ("BrushHair", "cartwheel", "sword_exercise")
TEMPLATES = ("a video of {}.", "a photo of {}.", "{} indeed")
FROZEN = ("text", "text:tiny", "lda", "orthogonal", "random")


@pytest.fixture(scope="module")
def base() -> Base:
    return tiny_base()


def toy_features(dim: int, classes: int = 3, per_class: int = 6) -> Features:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(classes).repeat_interleave(per_class)
    means = 3 * torch.randn(classes, dim, generator=generator)
    return means[labels] + torch.randn(len(labels), dim, generator=generator), labels


def made(base: Base, kind: str, inputs: TextInputs | None = None, seed: int = 0) -> Classifier:
    return build_classifier(
        kind,
        labels=LABELS,
        encoder=base.text_encoder,
        inputs=inputs or TextInputs(),
        dim=base.dim,
        seed=seed,
        features=toy_features(base.dim) if kind == "lda" else None,
    )


@pytest.mark.parametrize("kind", [*FROZEN, "learned"])
def test_rows_have_unit_length(base: Base, kind: str) -> None:
    """Method §20 #3."""
    classifier = made(base, kind)
    for rows in (classifier.rows(), classifier.rows(0), classifier.state()["rows"]):
        assert rows.shape == (3, base.dim)
        torch.testing.assert_close(rows.detach().norm(dim=-1), torch.ones(3))
    assert classifier.open_labels is kind.startswith("text")
    assert classifier.frozen is (kind != "learned")


@pytest.mark.parametrize("kind", [*FROZEN, "learned", "context"])
def test_ten_steps_of_a_joint_training_leave_frozen_rows_as_they_were(kind: str) -> None:
    """Method §20 #3, bit by bit, while everything else moves; the text tower never does."""
    base = tiny_base()
    inputs = TextInputs("context") if kind == "context" else TextInputs()
    classifier = made(base, "text" if kind == "context" else kind, inputs)
    model = base.video_model("mean").train()
    optimizer = build_optimizer(model, classifier, RECIPES["text4vis"], lr=1e-3)
    rows = classifier.rows().detach().clone()
    text_before = {name: tensor.clone() for name, tensor in base.text_encoder.module.state_dict().items()}
    tower_before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    pixels, targets = torch.randn(3, 2, 3, 32, 32), torch.arange(3)
    losses = []
    for step in range(10):
        loss = cross_entropy(logits(model(pixels), classifier.rows(step), model.logit_scale), targets)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    assert torch.equal(classifier.rows(), rows) is classifier.frozen
    assert any(parameter.requires_grad for parameter in classifier.parameters()) is not classifier.frozen
    assert all(torch.equal(tensor, text_before[name]) for name, tensor in base.text_encoder.module.state_dict().items())
    moved = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, tower_before[name])}
    assert {"logit_scale", "tower.visual.proj", "tower.visual.conv1.weight"} < moved


@pytest.mark.parametrize("classes", [2, 400, 512])
def test_orthogonal_rows(classes: int) -> None:
    """Method §20 #3: |cos| < 1e-5."""
    rows = normalize(orthogonal(classes, 512, torch.Generator().manual_seed(0)), dim=-1)
    cosines = rows @ rows.T - torch.eye(classes)
    assert float(cosines.abs().max()) < 1e-5


def test_more_orthogonal_rows_than_dimensions_are_refused() -> None:
    with pytest.raises(ValueError, match=r"only 32 rows .* 33 classes"):
        orthogonal(33, 32, torch.Generator())


@pytest.mark.parametrize("kind", ["orthogonal", "random", "learned"])
def test_drawn_rows_are_the_seed_s(base: Base, kind: str) -> None:
    assert torch.equal(made(base, kind, seed=3).rows(), made(base, kind, seed=3).rows())
    assert not torch.equal(made(base, kind, seed=3).rows(), made(base, kind, seed=4).rows())


def test_random_rows_are_gaussian_and_learned_ones_start_small(base: Base) -> None:
    learned = build_classifier(
        "learned", labels=["x"] * 400, encoder=base.text_encoder, inputs=TextInputs(), dim=512, seed=0
    )
    weight = next(learned.parameters()).detach()
    assert float(weight.std()) == pytest.approx(0.02, rel=0.02)
    random = build_classifier(
        "random", labels=["x"] * 400, encoder=base.text_encoder, inputs=TextInputs(), dim=512, seed=0
    ).rows()
    assert float((random @ random.T - torch.eye(400)).std()) == pytest.approx(512**-0.5, rel=0.05)


@pytest.mark.parametrize(
    "inputs",
    [
        TextInputs("name"),
        TextInputs("name", normalise=False),
        TextInputs("template", TEMPLATES[:1]),
        TextInputs("templates", TEMPLATES),
    ],
    ids=["name", "raw name", "template", "templates"],
)
def test_rows_are_those_that_the_served_templates_give(base: Base, inputs: TextInputs) -> None:
    """What was trained against is what the version is asked with."""
    recognizer = clip_recognizer(tiny_clip())
    served, _ = build_rows(
        recognizer.encode_texts, [(label, None) for label in LABELS], inputs.served, inputs.normalise
    )
    torch.testing.assert_close(made(base, "text", inputs).rows(), served, rtol=1e-4, atol=1e-5)


def test_of_several_templates_each_step_sees_one_drawn_with_the_seed(base: Base) -> None:
    classifier = made(base, "text", TextInputs("templates", TEMPLATES), seed=5)
    layers = [made(base, "text", TextInputs("template", (template,))).rows() for template in TEMPLATES]
    drawn = []
    for step in range(60):
        rows = classifier.rows(step)
        matches = [index for index, layer in enumerate(layers) if torch.allclose(rows, layer, rtol=1e-4, atol=1e-5)]
        assert len(matches) == 1
        drawn += matches
    assert {drawn.count(index) > 8 for index in range(3)} == {True}
    again = made(base, "text", TextInputs("templates", TEMPLATES), seed=5)
    assert all(torch.equal(again.rows(step), classifier.rows(step)) for step in range(60))
    other = made(base, "text", TextInputs("templates", TEMPLATES), seed=6)
    assert any(not torch.equal(other.rows(step), classifier.rows(step)) for step in range(60))


def test_context_is_learned_through_the_frozen_text_tower(base: Base) -> None:
    classifier = made(base, "text", TextInputs("context"))
    (context,) = classifier.parameters()
    assert context.shape == (4, base.text_encoder.context_width)
    assert float(context.detach().std()) == pytest.approx(0.02, rel=0.2)
    # rows have unit length, so each row's own direction has no slope; another one does
    slope = (classifier.rows(0) @ torch.randn(base.dim)).sum()
    slope.backward()  # type: ignore[no-untyped-call]
    assert context.grad is not None
    assert float(context.grad.norm()) > 0
    assert all(parameter.grad is None for parameter in base.text_encoder.module.parameters())
    assert classifier.served_encoder(base.text_encoder).digest != base.text_encoder.digest
    assert set(classifier.state()) == {"rows", "context"}


def test_logits_are_scaled_cosines() -> None:
    video, rows = torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    expected = torch.tensor([[60.0, 80.0]])
    torch.testing.assert_close(logits(video, rows, torch.tensor(100.0).log()), expected)
    assert logits(video.bfloat16(), rows, torch.tensor(1.0)).dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32], ids=str)
def test_logits_are_float32_under_autocast(dtype: torch.dtype) -> None:
    """Method §7 at CLIP's own scale, against float64."""
    generator = torch.Generator().manual_seed(0)
    video, rows = torch.randn(64, 512, generator=generator), torch.randn(400, 512, generator=generator)
    rows = torch.nn.functional.normalize(rows, dim=-1)
    wide = torch.nn.functional.normalize(video.double(), dim=-1)
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        found = logits(video, rows, torch.tensor(100.0).log())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), 100 * wide @ rows.double().T, rtol=0, atol=1e-4)


def test_truncation_is_told_by_class(base: Base) -> None:
    labels = ["short", "cat " * 100, "x"]
    for inputs in (TextInputs("templates", TEMPLATES), TextInputs("context")):
        classifier = build_classifier(
            "text", labels=labels, encoder=base.text_encoder, inputs=inputs, dim=base.dim, seed=0
        )
        assert classifier.truncated == (False, True, False)


def test_the_context_takes_room_from_the_text(base: Base) -> None:
    """77 slots: start, 4 of context, the words, the full stop, end."""
    labels, encoder = ["cat " * 69 + "cat", "cat " * 70 + "cat"], base.text_encoder
    classifier = build_classifier(
        "text", labels=labels, encoder=encoder, inputs=TextInputs("context"), dim=base.dim, seed=0
    )
    assert classifier.truncated == (False, True)


def test_texts_are_encoded_in_passes(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = made(base, "text", TextInputs("templates", TEMPLATES)).rows()
    monkeypatch.setattr(ensemble, "TEXTS_PER_PASS", 2)
    pieces = made(base, "text", TextInputs("templates", TEMPLATES)).rows()
    torch.testing.assert_close(whole, pieces, rtol=1e-4, atol=1e-5)


def test_the_state_dict_restores_what_was_learned(base: Base) -> None:
    for kind, inputs in (("learned", TextInputs()), ("text", TextInputs("context")), ("random", TextInputs())):
        first, second = made(base, kind, inputs, seed=1), made(base, kind, inputs, seed=2)
        second.load_state_dict(first.state_dict())
        assert torch.equal(first.rows(), second.rows())


@pytest.mark.parametrize(
    ("kind", "labels", "dim", "said"),
    [
        ("text", ("a", "b"), 16, "width 32"),
        ("text", ("a", " "), 32, "label 1 is empty"),
        ("lda", ("a", "b"), 32, "features"),
        ("svm", ("a", "b"), 32, "not a classifier"),
    ],
)
def test_what_does_not_fit_is_refused(base: Base, kind: str, labels: tuple[str, ...], dim: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        build_classifier(kind, labels=labels, encoder=base.text_encoder, inputs=TextInputs(), dim=dim, seed=0)
