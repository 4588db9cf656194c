from __future__ import annotations

import torch

from models.lite import alignment


def test_ridge_recovers_a_linear_map() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(200, 20, generator=generator)
    rows -= rows.mean(dim=0)
    truth = torch.randn(20, 6, generator=generator)
    projection = alignment.ridge(rows, rows @ truth, strength=1e-9)
    torch.testing.assert_close(projection, truth, rtol=1e-3, atol=1e-3)
    assert alignment.ridge(rows, rows @ truth, strength=10.0).norm() < truth.norm()


def test_ridge_reads_the_classifier_relative_to_its_mean() -> None:
    """All rows of an ImageNet classifier have a part in common, which tells no class from another."""
    generator = torch.Generator().manual_seed(0)
    rows, targets = torch.randn(50, 20, generator=generator), torch.randn(50, 6, generator=generator)
    shifted = alignment.ridge(rows + 30, targets)
    torch.testing.assert_close(shifted, alignment.ridge(rows, targets), rtol=1e-3, atol=1e-4)


def test_conse_is_the_expected_text_vector() -> None:
    targets = torch.eye(3)
    logits = torch.tensor([[0.0, 0.0, 0.0], [9.0, 0.0, 0.0]])
    vectors = alignment.conse(logits, targets)
    torch.testing.assert_close(vectors, logits.softmax(dim=-1))


def test_both_readings_weigh_the_same_and_an_unsure_frame_weighs_less() -> None:
    by_probability = torch.tensor([[2.0, 0.0], [0.1, 0.0]])
    by_projection = torch.tensor([[0.0, 50.0], [0.0, 50.0]])
    expected = torch.tensor([[2.0, 2.0], [0.1, 0.1]])
    torch.testing.assert_close(alignment.combine(by_probability, by_projection), expected)


def test_the_usual_names_of_the_classes() -> None:
    names = alignment.class_names()
    assert len(names) == 1000
    assert names[0] == "tench"
    assert all(name and "," not in name for name in names)
