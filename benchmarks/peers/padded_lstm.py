"""A plain recipe tower in JAX: masked `lax.scan`s over all positions, including the padding."""

import jax
import jax.numpy as jnp


def embed_recipes(params: dict, batch: dict[str, jax.Array]) -> jax.Array:
    """Computes the (B, embedding_dim) output of the recipe tower on words, before tanh, from the tower's parameters."""
    table, ids, words = params["table"], batch["ingredients"], batch["words"]
    directions = params["ingredient_lstm"]
    lengths, vectors = jnp.sum(ids != 0, axis=-1), table[ids]
    forward = _final_state(directions["forward"], vectors, lengths)
    backward = _final_state(directions["backward"], vectors, lengths, reverse=True)
    flat = words.reshape(-1, words.shape[-1])
    sentences = _final_state(params["sentence_lstm"], table[flat], jnp.sum(flat != 0, axis=-1))
    sentences = sentences.reshape(*words.shape[:2], -1)
    instructions = _final_state(params["instruction_lstm"], sentences, batch["num_sentences"])
    parts = jnp.concatenate([forward, backward, instructions], axis=-1)
    return parts @ params["fc"]["kernel"] + params["fc"]["bias"]


def _final_state(params: dict, inputs: jax.Array, lengths: jax.Array, reverse: bool = False) -> jax.Array:
    bias = sum(leaf for name, leaf in params.items() if name.endswith("bias"))
    is_real = jnp.arange(inputs.shape[1]) < lengths[:, None]

    def step(carry, now):
        h, c = carry
        x, is_real = now
        gates = x @ params["input_kernel"] + h @ params["recurrent_kernel"] + bias
        i, f, g, o = jnp.split(gates, 4, axis=-1)
        new_c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        new_h = jax.nn.sigmoid(o) * jnp.tanh(new_c)
        return (jnp.where(is_real[:, None], new_h, h), jnp.where(is_real[:, None], new_c, c)), None

    zeros = jnp.zeros((len(inputs), len(params["recurrent_kernel"])), inputs.dtype)
    (h, _), _ = jax.lax.scan(step, (zeros, zeros), (jnp.swapaxes(inputs, 0, 1), is_real.T), reverse=reverse)
    return h
