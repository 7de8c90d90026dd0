#!/usr/bin/env bash
# Downloads wheels for Python 3.12 on x86-64 Linux: what benchmarks/gpu.sh needs beside jax, flax, optax,
# orbax-checkpoint, torch, tokenizers, safetensors, pillow and tqdm, on a machine without network.
#
#     bash benchmarks/gpu_wheels.sh FOLDER
#     python3 -m pip install --no-index --no-deps --target SITE FOLDER/*.whl     # there; then PYTHONPATH=SITE
set -eu
folder=${1:?usage: bash benchmarks/gpu_wheels.sh FOLDER}
glibc=()
for minor in 34 31 28 27 24 17; do
    glibc+=(--platform "manylinux_2_${minor}_x86_64")
done
"${PYTHON:-python3}" -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
    "${glibc[@]}" --platform manylinux2014_x86_64 --dest "$folder" \
    ml-collections==1.1.0 simplejpeg==1.9.0 google-crc32c==1.9.0 tensorboardX==2.6.5 faiss-cpu==1.15.1 \
    pytorch-metric-learning==2.9.0
ls -l "$folder"
