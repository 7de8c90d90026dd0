"""Conversion of published recipe towers; `tests/models/test_recipe.py` compares their outputs."""

from pathlib import Path

import numpy as np
import pytest

from adamine_jax.base.errors import UserError
from adamine_jax.models.recipe.published import recipe_tower_from_state_dict

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "recipe_encoder.npz")
STATE = {key.removeprefix("weights/"): GOLDEN[key] for key in GOLDEN.files if key.startswith("weights/")}


def test_biases_are_summed_and_kernels_transposed():
    params = recipe_tower_from_state_dict(STATE)
    name = "recipe_embedding.rnn_ingrs."
    backward = params["ingredient_lstm"]["backward"]
    expected = STATE[f"{name}bias_ih_l0_reverse"] + STATE[f"{name}bias_hh_l0_reverse"]
    np.testing.assert_array_equal(backward["bias"], expected)
    np.testing.assert_array_equal(backward["input_kernel"], STATE[f"{name}weight_ih_l0_reverse"].T)
    np.testing.assert_array_equal(params["table"], STATE["recipe_embedding.emb_ingrs.weight"])


@pytest.mark.parametrize("name", STATE)
def test_a_missing_tensor_is_named(name):
    with pytest.raises(UserError, match=f"{name} is missing"):
        recipe_tower_from_state_dict({key: array for key, array in STATE.items() if key != name})
