import pytest

from tests.data_builders.recipe1m.planted import FEW_WORDS, planted, run


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    """The planted download."""
    return planted().write(tmp_path_factory.mktemp("download"))


@pytest.fixture(scope="session")
def built(source, tmp_path_factory):
    """The collection built from it; nothing may change it."""
    out = tmp_path_factory.mktemp("out")
    assert run("--source", source, "--out", out, "--class-min-train", "1", *FEW_WORDS) == 0
    return out / "recipe1m" / "1.0.0"
