"""Converts recipe towers that published PyTorch code trained."""

from typing import Any

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.interop.published_names import ADAMINE, Names


def recipe_tower_from_state_dict(tensors: dict[str, np.ndarray], names: Names = ADAMINE) -> dict[str, Any]:
    """Converts the recipe tower of a published state dict, whose instructions are sentence vectors.

    PyTorch's two LSTM biases are summed. The word table is copied; its rows are those of the published model's
    vocabulary. The linear layer reads ingredients, then instructions.

    Args:
        tensors: Arrays by their name in the state dict, such as `recipe_embedding.rnn_ingrs.weight_ih_l0`.
        names: Names of the code base that saved the file.

    Returns:
        Parameters of `HierarchicalLSTM` with instructions 'vectors'.

    Raises:
        UserError: A tensor is missing.
    """

    def tensor(name: str) -> np.ndarray:
        if name not in tensors:
            raise UserError(f"{name} is missing: not the state dict of a published {names.title}")
        return np.asarray(tensors[name], np.float32)

    def lstm(name: str, suffix: str = "") -> dict[str, np.ndarray]:
        return {
            "input_kernel": tensor(f"{name}.weight_ih_l0{suffix}").T,
            "recurrent_kernel": tensor(f"{name}.weight_hh_l0{suffix}").T,
            "bias": tensor(f"{name}.bias_ih_l0{suffix}") + tensor(f"{name}.bias_hh_l0{suffix}"),
        }

    instruction_lstm = lstm(names.instruction_lstm)
    kernel = tensor(f"{names.recipe_fc}.weight").T
    if names.instructions_first:
        kernel = np.roll(kernel, -len(instruction_lstm["recurrent_kernel"]), axis=0)
    return {
        "table": tensor(f"{names.words}.weight"),
        "ingredient_lstm": {
            "forward": lstm(names.ingredient_lstm),
            "backward": lstm(names.ingredient_lstm, "_reverse"),
        },
        "instruction_lstm": instruction_lstm,
        "fc": {"kernel": kernel, "bias": tensor(f"{names.recipe_fc}.bias")},
    }
