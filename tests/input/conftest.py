import pytest

from adamine_jax.input.dataset import open_dataset
from adamine_jax.input.record_index import load_index


@pytest.fixture(scope="session")
def index(tiny_data):
    """The record index of the train split of the tiny data set."""
    return load_index(open_dataset(tiny_data).shards("train"))
