"""A loader of sites written in one text, and its opposite."""

from __future__ import annotations

import pytest
from site_samples import SMALL, VARIABLES, LoadText, Refused

from kedge.lib.errors import KedgeError, KedgeErrors
from kedge.site.loading import load
from kedge.site.model import Site


@pytest.fixture
def load_text() -> LoadText:
    """Load a site whose main file is the given text."""

    def run(text: str = "", files: dict[str, str] | None = None) -> Site:
        return load({"site.yaml": text or SMALL, **(files or {})}, VARIABLES)

    return run


@pytest.fixture
def refused(load_text: LoadText) -> Refused:
    """The errors of a site that must be refused."""

    def run(text: str, files: dict[str, str] | None = None) -> list[KedgeError]:
        with pytest.raises(KedgeErrors) as caught:
            load_text(text, files)
        return list(caught.value.errors)

    return run
