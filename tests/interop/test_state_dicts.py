"""Files of `torch.save`: accepted dictionaries, and other values next to the tensors."""

import pickle
import types

import numpy as np
import pytest

from adamine_jax.base.errors import UserError
from adamine_jax.interop.state_dicts import read_state_dict, tensor_fault

torch = pytest.importorskip("torch")
TENSORS = {"a": torch.ones(2), "b": torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))}


class Python2Pickler(pickle._Pickler):
    """Pickles bytes like Python 2."""

    def save_bytes(self, value):
        self.write(b"U" + bytes([len(value)]) + value)
        self.memoize(value)

    dispatch = pickle._Pickler.dispatch | {bytes: save_bytes}


PYTHON2 = types.SimpleNamespace(
    __name__="pickle",
    Pickler=Python2Pickler,
    dump=lambda value, file, protocol: Python2Pickler(file, protocol).dump(value),
)


@pytest.mark.parametrize("held", [TENSORS, {"network": TENSORS}, {"epoch": 3, "network": TENSORS}])
def test_a_state_dict_is_found_at_the_top_or_under_its_entry(tmp_path, held):
    path = tmp_path / "model.pth.tar"
    torch.save(held, path)
    tensors = read_state_dict(path, ["network"])
    assert {name: (array.shape, array.dtype) for name, array in tensors.items()} == {
        "a": ((2,), np.float32),
        "b": ((3,), np.float32),
    }


@pytest.mark.parametrize("held", [{"epoch": 3}, {"other": TENSORS}, [1], {"network": {"a": 1}}])
def test_anything_else_is_refused(tmp_path, held):
    path = tmp_path / "model.pth.tar"
    torch.save(held, path)
    with pytest.raises(UserError, match="contains no state dict"):
        read_state_dict(path, ["network"])


@pytest.mark.parametrize("python2", [False, True])
def test_numpy_scalars_next_to_the_state_dict_are_accepted(tmp_path, python2):
    path = tmp_path / "model.pth.tar"
    held = {"state_dict": TENSORS, "best": np.median([1.1, 2.2, 3.3]), "epoch": 3}
    torch.save(held, path, _use_new_zipfile_serialization=False, **({"pickle_module": PYTHON2} if python2 else {}))
    if python2:
        path.write_bytes(path.read_bytes().replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert read_state_dict(path, ["state_dict"]).keys() == TENSORS.keys()


def test_nothing_in_a_file_is_executed(tmp_path):
    class Harmful:
        def __reduce__(self):
            return (tmp_path / "made").touch, ()

    path = tmp_path / "model.pth.tar"
    torch.save({"network": TENSORS, "extra": Harmful()}, path)
    with pytest.raises(UserError, match="not a readable PyTorch file"):
        read_state_dict(path, ["network"])
    assert not (tmp_path / "made").exists()


def test_faults_of_a_tensor():
    assert tensor_fault("a", np.zeros((2, 3)), (2, 3)) is None
    assert tensor_fault("a", np.zeros((2, 3)), (None, 3)) is None
    assert tensor_fault("a", np.zeros((2, 3)), (None, 4)) == "a is 2×3 instead of ?×4"
    assert tensor_fault("a", np.zeros(()), (2,)) == "a is a single number instead of 2"
    assert tensor_fault("a", np.array([np.inf]), (1,)) == "a has values that are not finite"
