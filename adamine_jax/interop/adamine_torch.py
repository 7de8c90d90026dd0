"""Recipe towers trained by the published PyTorch code, in its names."""

from typing import Any

import numpy as np

from adamine_jax.errors import UserError

PREFIX = "recipe_embedding."


def recipe_tower_from_state_dict(tensors: dict[str, np.ndarray]) -> dict[str, Any]:
    """Converts the recipe tower of a published state dict, whose instructions are sentence vectors.

    PyTorch's two LSTM biases are summed: they never act but together. The word table is taken as it is; its rows are
    those of the vocabulary that it was trained with.

    Args:
        tensors: arrays by the names of the published state dict, `recipe_embedding.rnn_ingrs.weight_ih_l0` and so on.

    Returns:
        Parameters of `models.recipe.RecipeTower` with instructions 'vectors'.

    Raises:
        UserError: a tensor is missing; the message names it.
    """

    def tensor(name: str) -> np.ndarray:
        if PREFIX + name not in tensors:
            raise UserError(f"{PREFIX}{name} is missing: not the state dict of a published AdaMine")
        return np.asarray(tensors[PREFIX + name], np.float32)

    def lstm(name: str, suffix: str = "") -> dict[str, np.ndarray]:
        return {
            "input_kernel": tensor(f"{name}.weight_ih_l0{suffix}").T,
            "recurrent_kernel": tensor(f"{name}.weight_hh_l0{suffix}").T,
            "bias": tensor(f"{name}.bias_ih_l0{suffix}") + tensor(f"{name}.bias_hh_l0{suffix}"),
        }

    return {
        "table": tensor("emb_ingrs.weight"),
        "ingredient_lstm": {"forward": lstm("rnn_ingrs"), "backward": lstm("rnn_ingrs", "_reverse")},
        "instruction_lstm": lstm("rnn_instrs"),
        "fc": {"kernel": tensor("fc.weight").T, "bias": tensor("fc.bias")},
    }
