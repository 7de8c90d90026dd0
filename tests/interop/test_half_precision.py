"""`.safetensors` files of half-precision tensors."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adamine_jax.base.errors import UserError
from adamine_jax.interop.state_dicts import read_safetensors
from adamine_jax.models.image import torchvision
from tests.golden import make_resnet

DTYPES = {"F16": jnp.float16, "BF16": jnp.bfloat16, "F8_E4M3": jnp.float8_e4m3fn}


def write(path, tensors, kind):
    """Writes a file in the format's own terms: the length of the header, the header, the bytes of the tensors."""
    header, content = {"__metadata__": {"format": "pt"}}, b""
    for name, array in tensors.items():
        stored = np.asarray(array).astype(DTYPES[kind]).tobytes()
        place = [len(content), len(content) + len(stored)]
        header[name] = {"dtype": kind, "shape": list(np.shape(array)), "data_offsets": place}
        content += stored
    described = json.dumps(header).encode()
    path.write_bytes(len(described).to_bytes(8, "little") + described + content)


@pytest.mark.parametrize("kind", ["F16", "BF16"])
def test_half_precision_tensors_are_read(tmp_path, kind):
    path, values = tmp_path / "a.safetensors", np.array([[1, -2.5, 1e-3], [0, 300, 7]], np.float32)
    write(path, {"a": values, "b": np.float32(3)}, kind)
    tensors, metadata = read_safetensors(path)
    assert metadata == {"format": "pt"}
    assert {name: array.dtype for name, array in tensors.items()} == {"a": DTYPES[kind], "b": DTYPES[kind]}
    np.testing.assert_array_equal(tensors["a"], values.astype(DTYPES[kind]))
    np.testing.assert_array_equal(jnp.asarray(tensors["a"], jnp.float32), values.astype(DTYPES[kind]))
    assert tensors["b"].shape == ()


@pytest.mark.parametrize("kind", ["F16", "BF16"])
def test_a_resnet_of_half_precision_becomes_float32(tmp_path, kind):
    path, state = tmp_path / "a.safetensors", make_resnet.random_state(18, 4)
    write(path, state, kind)
    variables = torchvision.read_torchvision(path).variables
    rounded = {name: array.astype(DTYPES[kind]).astype(np.float32) for name, array in state.items()}
    jax.tree.map(np.testing.assert_array_equal, variables, torchvision.from_state_dict(rounded).variables)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype(np.float32)}


def test_values_that_are_not_finite_are_found(tmp_path):
    path, state = tmp_path / "a.safetensors", make_resnet.random_state(18, 4)
    state["layer4.0.bn1.weight"][2] = np.nan
    write(path, state, "BF16")
    with pytest.raises(UserError, match=r"layer4\.0\.bn1\.weight has values that are not finite"):
        torchvision.read_torchvision(path)


def test_eight_bit_floats_are_one_line(tmp_path):
    path = tmp_path / "a.safetensors"
    write(path, {"a": np.ones(3)}, "F8_E4M3")
    with pytest.raises(UserError, match=r"cannot be read \(.*float8.*\); convert its tensors to float32"):
        read_safetensors(path)
