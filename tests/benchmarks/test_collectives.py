"""Tests that collectives are read from HLO: a handwritten text, and a program with known collectives."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from adamine_jax.distributed.mesh import make_mesh
from tests.benchmarks.collectives import Collective, collectives, total_bytes

HLO = """\
HloModule jit_f, entry_computation_layout={(f32[2,3]{1,0})->f32[2,3]{1,0}}

%inner (p: (s32[], f32[4])) -> (s32[], f32[4]) {
  %r = bf16[4]{0} reduce-scatter(%x), replica_groups={{0,1}}, to_apply=%add
}

%body (p: (s32[], f32[4])) -> (s32[], f32[4]) {
  %g = f32[4,3]{1,0} all-gather(%x), replica_groups={{0,1}}, dimensions={0}, metadata={op_name="jit(f)/gather"}
  ROOT %w = (s32[], f32[4]) while(%t), condition=%c, body=%inner, backend_config={"known_trip_count":{"n":"3"}}
}

%branch (p: f32[]) -> f32[] {
  %a = pred[] all-to-all(%x), replica_groups={{0,1}}
}

ENTRY %main_spmd (param: f32[2,3]) -> f32[2,3] {
  %w = (s32[], f32[4]) while(%t), condition=%c, body=%body, backend_config={"known_trip_count":{"n":"5"}}
  %all-reduce.1 = (f32[2,3]{1,0}, /*index=1*/s32[]) all-reduce(%x, %y), replica_groups={{0,1}}, to_apply=%add
  %k = f32[] conditional(%i, %x, %y), branch_computations={%branch, %branch}
  ROOT %f = f32[2,3]{1,0} fusion(%all-reduce.1), kind=kLoop, calls=%fused
}
"""


def test_arrays_loops_and_branches():
    found = collectives(HLO)
    assert found == [
        Collective("all-gather", (4, 3), 48, 5, "jit(f)/gather"),
        Collective("reduce-scatter", (4,), 8, 15, ""),
        Collective("all-reduce", (2, 3), 24, 1, ""),
        Collective("all-reduce", (), 4, 1, ""),
        Collective("all-to-all", (), 1, 1, ""),
        Collective("all-to-all", (), 1, 1, ""),
    ]
    assert total_bytes(found, "all-gather") == 5 * 48
    assert total_bytes(found, "reduce-scatter") == 15 * 8
    assert total_bytes(found, "collective-permute") == 0


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"known_trip_count":{"n":"5"}', ""),
        ('"known_trip_count":{"n":"3"}', ""),
        ("all-gather(", "all-gather-start("),
        ("ENTRY %main_spmd", "%main_spmd"),
    ],
)
def test_collectives_that_cannot_be_counted_raise(old, new):
    with pytest.raises(ValueError, match=r"trip count|ENTRY"):
        collectives(HLO.replace(old, new))


def test_a_loop_of_unknown_length_without_collectives_is_accepted():
    text = HLO.replace('"known_trip_count":{"n":"3"}', "").replace("reduce-scatter(", "copy(")
    assert total_bytes(collectives(text), "all-gather") == 5 * 48


def test_a_sum_over_devices_in_a_loop():
    mesh = make_mesh(jax.devices()[:4])
    rows, all_rows = (NamedSharding(mesh, PartitionSpec(*spec)) for spec in (("data",), ()))

    def repeated(x, y):
        def step(total, block):  # the sum over rows crosses devices
            return total + block, jnp.matmul(x.T, y * block)

        return jax.lax.scan(step, jnp.zeros(()), jnp.arange(7.0))[1]

    compute = jax.jit(repeated, in_shardings=rows, out_shardings=all_rows)
    found = collectives(compute.lower(jnp.ones((8, 3)), jnp.ones((8, 5))).compile().as_text())
    assert [(each.kind, each.shape, each.bytes * each.times) for each in found] == [
        ("all-reduce", (3, 5), 7 * 3 * 5 * 4)
    ]
