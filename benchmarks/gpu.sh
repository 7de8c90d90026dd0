#!/usr/bin/env bash
# Measures on one GPU in at most eight minutes, and writes a page for each part.
#
#     bash benchmarks/gpu.sh [OUT]                 # OUT: benchmarks/results by default
#     bash benchmarks/gpu.sh --rehearse OUT        # every part, tiny, on the CPU
#
# It needs jax for CUDA, torch, and what benchmarks/gpu_wheels.sh lists. The most important parts come first; each has a
# time limit, and the others run even if one fails.
set -u
cd "$(dirname "$0")/.."

rehearse=0
if [ "${1:-}" = --rehearse ]; then
    rehearse=1
    shift
fi
out=${1:-benchmarks/results}
python=${PYTHON:-python3}
mkdir -p "$out"

# part SECONDS NAME FLAGS... : FLAGS up to "--" are those of the GPU, the others those of the rehearsal.
part() {
    local seconds=$1 name=$2 flags=()
    shift 2
    local here=$((1 - rehearse))
    for flag in "$@"; do
        if [ "$flag" = "--" ]; then
            here=$rehearse
        elif [ "$here" = 1 ]; then
            flags+=("$flag")
        fi
    done
    [ "$rehearse" = 1 ] && seconds=600
    local start=$SECONDS status=0 page=--out
    [ "$name" = search ] && page=--results
    timeout "$seconds" "$python" -m "benchmarks.${name%%:*}" "${flags[@]}" "$page" "$out/${name/:/_}_gpu.md" \
        > "$out/${name/:/_}_gpu.log" 2>&1 || status=$?
    echo "${name}: $((SECONDS - start)) s, status $status"
}

if [ "$rehearse" = 1 ]; then
    export JAX_PLATFORMS=cpu CUDA_VISIBLE_DEVICES=
fi
part 130 towers --parts training --batches 256 -- --parts training --batches 8 --depth 50 --repeats 1
part 110 clip_step --batch 256 -- --batch 2 --repeats 1
part 70 losses --batches 4096,65536 --large 0 --repeats 5 -- --batches 64 --large 0 --repeats 1
part 60 retrieval --published 0 --pairs 10000 --repeats 3 -- --published 0 --pairs 500 --full 1000 --repeats 1
part 60 towers:text --parts text --text-batch 256 --padded-batch 64 --repeats 3 -- --parts text --text-batch 4 --padded-batch 4 --repeats 1
part 50 search --items 500000 --scratch "${TMPDIR:-/tmp}/search" -- --items 12000 --scratch "$out/search"
