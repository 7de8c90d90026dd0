"""A real server on a free port, with an untrained model."""

import httpx
import pytest

import adamine_jax
from adamine_jax import embed
from tests.servers import serving


@pytest.fixture(scope="package")
def folder(kitchen):
    """A gallery of the train split: 24 recipes of two classes."""
    assert embed.main(["--workdir", str(kitchen / "run"), "--split", "train", "--out", str(kitchen / "gallery")]) == 0
    return kitchen / "gallery"


@pytest.fixture(scope="package")
def gallery(folder, model):
    return adamine_jax.open_gallery(folder, model.digest)


@pytest.fixture(scope="package")
def address(model, gallery):
    with serving(model, gallery) as (address, _, _):
        yield address


@pytest.fixture
def api(address):
    with httpx.Client(base_url=f"{address}/api/v1", timeout=60) as client:
        yield client
