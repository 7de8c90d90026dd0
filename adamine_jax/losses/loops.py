"""A sum of as many terms as the data asks for, with a gradient."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def sum_over(term: Callable[..., Any], count: jax.Array, *arguments: Any) -> Any:
    """Σ term(n, *arguments) for n < count; JAX cannot differentiate a loop whose length is not known beforehand.

    Args:
        term: a function of (() int32, *arguments) to a tree of floating arrays, which closes over no traced array.
        count: () int32.
        *arguments: trees of arrays, floating ones having gradients.
    """
    shapes = jax.eval_shape(term, count, *arguments)
    zeros = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)
    return jax.lax.fori_loop(0, count, lambda n, total: jax.tree.map(jnp.add, total, term(n, *arguments)), zeros)


def _forward(term, count, *arguments):
    return sum_over(term, count, *arguments), (count, arguments)


def _backward(term, residuals, cotangent):
    count, arguments = residuals
    leaves, structure = jax.tree.flatten(arguments)
    is_float = [jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves]

    def of_floats(n, floats):
        floats = iter(floats)
        merged = [next(floats) if chosen else leaf for chosen, leaf in zip(is_float, leaves, strict=True)]
        return term(n, *jax.tree.unflatten(structure, merged))

    floats = [leaf for chosen, leaf in zip(is_float, leaves, strict=True) if chosen]

    def step(n, total):
        _, pull = jax.vjp(functools.partial(of_floats, n), floats)
        return jax.tree.map(jnp.add, total, pull(cotangent)[0])

    gradients = iter(jax.lax.fori_loop(0, count, step, [jnp.zeros_like(leaf) for leaf in floats]))
    return None, *jax.tree.unflatten(structure, [next(gradients) if chosen else None for chosen in is_float])


sum_over.defvjp(_forward, _backward)
