"""The numbers of label spaces, by hand."""

from __future__ import annotations

import numpy as np

from core.protocols.catalogue import PROTOCOLS
from core.protocols.protocol import LabelSpace
from worker.training.judging.label_spaces import sum_up_spaces
from worker.training.judging.scored import Scored

CLASSES = ("a", "b", "c")
# Clip 1 is an a that looks most like c, then like a; clip 2 is a b that looks like a; clip 3 is a c.
SCORED = Scored(
    ["1", "2", "3", "3"],
    np.array([0, 1, 2, 2]),
    np.array([[0.4, 0.1, 0.5], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8], [0.8, 0.1, 0.1]], np.float32),
)


def test_classes_compete_only_within_their_space() -> None:
    spaces = [LabelSpace("seed 0", ("a", "b")), LabelSpace("seed 1", ("b", "c"))]
    found = sum_up_spaces(PROTOCOLS["half-class"], spaces, SCORED, CLASSES)
    first, second = found["draws"]
    assert (first["clips"], first["numbers"]["top1"], first["classes"]) == (2, 0.5, ["a", "b"])
    assert (second["clips"], second["numbers"]["top1"]) == (2, 1.0)  # a clip that is scored twice counts once
    (row,) = found["rows"]
    assert (row["name"], row["draws"]) == ("2 halves of the classes", 2)
    assert row["numbers"]["top1"] == {"mean": 0.75, "std": 0.25}
    assert found["source"].startswith("Text4Vis")


def test_a_space_may_name_its_clips() -> None:
    spaces = [LabelSpace("split:1", ("a", "b"), frozenset({"1"})), LabelSpace("split:2", ("a", "b"), frozenset())]
    found = sum_up_spaces(PROTOCOLS["fixed-splits"], spaces, SCORED, CLASSES)
    assert [draw["clips"] for draw in found["draws"]] == [1, 0]
    assert [draw["numbers"]["top1"] for draw in found["draws"]] == [1.0, None]
    assert found["rows"][0]["numbers"]["top1"] is None


def test_a_protocol_without_spaces_has_no_rows() -> None:
    found = sum_up_spaces(PROTOCOLS["full-class"], (), SCORED, CLASSES)
    assert (found["rows"], found["draws"], found["name"]) == ([], [], "full-class")
