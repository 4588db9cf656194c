"""The pages that show answers of `lite`, run as a reader would: in an empty directory, from the top."""

from __future__ import annotations

from pathlib import Path

import pytest
from transcripts import difference, replay

from tests.docs.pages import ROOT
from tests.e2e.pages import ON_LITE
from tests.e2e.stack import Stack


@pytest.mark.parametrize("page", ON_LITE)
def test_the_commands_of_a_page_work_and_print_what_it_shows(page: str, stack: Stack, tmp_path: Path) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    fresh = replay(text, stack.url, slow=False, directory=tmp_path)
    assert difference(text, fresh, slow=False) == "", "run `make transcripts`"
