"""The formula that `vireo plan` reckons with, from cells whose costs are known. Nothing is measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.scaling import CELLS, Cell, draw, fit

TRUE = {"fixed": 0.05, "megapixel_second": 0.03, "frame": 0.11, "label": 3e-5}


def cost(cell: Cell) -> float:
    known = TRUE["fixed"] + TRUE["megapixel_second"] * cell.decoded
    return known + TRUE["frame"] * cell.encoded + TRUE["label"] * cell.labels


def test_the_terms_of_a_cell() -> None:
    cell = Cell("views", frames=8, clips=4, crops=3, seconds=60, width=1000, height=500)
    assert (cell.encoded, cell.decoded) == (96, 30.0)


def test_the_formula_is_found_again() -> None:
    found = fit({cell: cost(cell) for cell in CELLS})
    assert {name: found[name] for name in TRUE} == pytest.approx(TRUE, rel=1e-6)
    assert found["largest_error"] < 1e-6


def test_a_cell_that_does_not_fit_is_its_error_and_not_hidden_by_the_fit() -> None:
    cells = {cell: cost(cell) for cell in CELLS}
    odd = next(cell for cell in CELLS if cell.what == "size")
    cells[odd] *= 2
    found = fit(cells)
    assert found["largest_error"] > 0.4
    assert found["error"] < 0.1


def test_no_part_costs_less_than_nothing() -> None:
    found = fit({cell: 1.0 - 0.001 * cell.encoded for cell in CELLS})
    assert min(found[name] for name in TRUE) >= 0


def test_the_same_numbers_make_the_same_picture(tmp_path: Path) -> None:
    cells = {"lite": {cell: cost(cell) for cell in CELLS}}
    for name in ("one.svg", "two.svg"):
        draw(tmp_path / name, cells, {10: 0.01, 100: 0.02})
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
