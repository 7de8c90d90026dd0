"""Stores tensors pickled by PyTorch: `python tests/golden/make_torch_pickles.py` (requires PyTorch).

`<kind>/<form>` of `torch_pickles.npz` contains the values of a tensor, `<kind>/<form>/<protocol>` the bytes of
`pickle.dumps(tensor, protocol)`. The stored file was written with PyTorch 2.13.
"""

import pickle
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).with_name("torch_pickles.npz")
KINDS = ("float32", "float64", "float16", "int64", "int32", "int16", "int8", "uint8")
PROTOCOLS = (2, 3, 4, 5)


def main() -> None:
    """Writes `torch_pickles.npz`."""
    import torch

    arrays = {}
    for kind in KINDS:
        whole = torch.arange(12).to(getattr(torch, kind)).reshape(3, 4)
        forms = {"whole": whole, "row": whole[1], "part": whole[1:, 2:], "transposed": whole.T, "empty": whole[:0]}
        for form, tensor in forms.items():
            arrays[f"{kind}/{form}"] = tensor.numpy()
            for protocol in PROTOCOLS:
                arrays[f"{kind}/{form}/{protocol}"] = np.frombuffer(pickle.dumps(tensor, protocol), np.uint8)
    np.savez_compressed(GOLDEN, **arrays)


if __name__ == "__main__":
    main()
