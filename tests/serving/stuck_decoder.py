"""A decoding process in which the photos b"stuck", b"crash" and b"memory" do what their names say."""

import os
import sys
from multiprocessing.connection import Connection

from adamine_jax.recipes.photos import stored
from adamine_jax.serving import decoders


def misbehaving(photo, side):
    if photo == b"stuck":
        10 ** (10**10)  # in C, where no exception can stop it
    if photo == b"crash":
        os.abort()
    if photo == b"memory":
        bytearray(8 << 30)
    return stored(photo, side)


if __name__ == "__main__":
    decoders.stored = misbehaving
    decoders._run(Connection(int(sys.argv[1])), float(sys.argv[2]), sys.argv[3] == "1")
