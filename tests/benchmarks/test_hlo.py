"""Tests that costs are read from HLO: a handwritten text, and programs whose costs are known or counted by XLA."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from adamine_jax.distributed.mesh import make_mesh
from benchmarks.hlo_costs import Collective, CompiledProgram

HLO = """\
HloModule jit_f, entry_computation_layout={(f32[2,3]{1,0})->f32[2,3]{1,0}}

%inner (p: (s32[], f32[4])) -> (s32[], f32[4]) {
  %r = bf16[4]{0} reduce-scatter(%x), replica_groups={{0,1}}, to_apply=%add
}

%condition (p: (s32[], f32[4])) -> pred[] {
  %limit = s32[]{:T(128)} constant(5)
  %number = s32[]{:T(128)} get-tuple-element(%p), index=0
  ROOT %less = pred[]{:T(512)} compare(%number, %limit), direction=LT
}

%body (p: (s32[], f32[4])) -> (s32[], f32[4]) {
  %g = f32[4,3]{1,0} all-gather(%x), replica_groups={{0,1}}, dimensions={0}, metadata={op_name="jit(f)/gather"}
  ROOT %w = (s32[], f32[4]) while(%t), condition=%c, body=%inner, backend_config={"known_trip_count":{"n":"3"}}
}

%branch (p: f32[]) -> f32[] {
  %a = pred[] all-to-all(%x), replica_groups={{0,1}}
}

%c (p: (s32[], f32[4])) -> pred[] {
  ROOT %q = pred[] custom-call(%p)
}

%fused (p.1: f32[9,3]) -> f32[1,3] {
  %p.1 = f32[9,3]{1,0} parameter(0)
  ROOT %slice = f32[1,3]{1,0} dynamic-slice(%p.1, %i, %i), dynamic_slice_sizes={1,3}
}

ENTRY %main_spmd (param: f32[9,3]) -> f32[1,3] {
  %param = f32[9,3]{1,0:T(8,128)} parameter(0)
  %loop = (s32[], f32[4]) while(%t), condition=%condition, body=%body
  %all-reduce.1 = (f32[2,3]{1,0}, /*index=1*/s32[]) all-reduce(%x, %y), replica_groups={{0,1}}, to_apply=%add
  %start = (f32[4,3]{1,0}, f32[8,3]{1,0}) all-gather-start(%x), replica_groups={{0,1}}, dimensions={0}
  %near = f32[9,3]{1,0:T(8,128)S(1)} copy(%param)
  %done = f32[8,3]{1,0} all-gather-done(%start)
  %k = f32[] conditional(%i, %x, %y), branch_computations={%branch, %branch}
  ROOT %f = f32[1,3]{1,0} fusion(%param), kind=kLoop, calls=%fused
}
"""


def test_collectives_in_loops_and_branches():
    costs = CompiledProgram(HLO).costs()
    assert set(costs.collectives) == {
        Collective("all-gather", (4, 3), 48, 5, False, "jit(f)/gather"),
        Collective("reduce-scatter", (4,), 8, 15, False, ""),
        Collective("all-reduce", (2, 3), 24, 1, False, ""),
        Collective("all-reduce", (), 4, 1, False, ""),
        Collective("all-gather", (8, 3), 96, 1, False, ""),
        Collective("all-to-all", (), 1, 1, False, ""),
    }
    assert costs.sent("all-gather") == 5 * 48 + 96
    assert costs.sent("reduce-scatter") == 15 * 8
    assert costs.sent("collective-permute") == 0
    assert costs.steps == 5 + 5 * 3


def test_traffic_is_that_of_the_main_memory_and_of_slices_only():
    without = HLO.replace("  %all-reduce.1", "  %other").replace(" all-reduce(", " bitcast(")
    near = CompiledProgram(without).costs().traffic
    assert CompiledProgram(without.replace("S(1)} copy", "} copy")).costs().traffic - near == 9 * 3 * 4
    whole = without.replace("dynamic-slice(%p.1, %i, %i)", "reduce(%p.1)")
    assert CompiledProgram(whole).costs().traffic - near == (9 - 1) * 3 * 4


def test_a_collective_overlaps_with_what_is_scheduled_before_its_end():
    text = HLO.replace(
        "%near = f32[9,3]{1,0:T(8,128)S(1)} copy(%param)", "%near = f32[1,3] fusion(%param), calls=%fused"
    )
    assert [one.overlaps for one in CompiledProgram(text).costs().collectives if one.shape == (8, 3)] == [True]


def test_the_arrays_of_a_spread_collective_are_not_traffic_of_the_computations_that_carry_it():
    text = HLO.replace("%fused", "%async_collective_fusion.1").replace("dynamic-slice(%p.1, %i, %i)", "negate(%p.1)")
    alias = text.replace("calls=%async", "output_to_operand_aliasing={{0}: (0, {})}, calls=%async")
    difference = CompiledProgram(text).costs().traffic - CompiledProgram(alias).costs().traffic
    assert difference == 9 * 3 * 4 + 1 * 3 * 4  # the operand and the result


@pytest.mark.parametrize(
    ("old", "new"),
    [('"known_trip_count":{"n":"3"}', ""), ("direction=LT", "direction=NE"), ("ENTRY %main_spmd", "%main_spmd")],
)
def test_what_cannot_be_counted_raises(old, new):
    with pytest.raises(ValueError, match=r"trip count|ENTRY"):
        CompiledProgram(HLO.replace(old, new)).costs()


def test_a_loop_of_unknown_length_without_collectives_counts_once():
    text = HLO.replace('"known_trip_count":{"n":"3"}', "").replace("reduce-scatter(", "copy(")
    costs = CompiledProgram(text).costs()
    assert costs.sent("all-gather") == 5 * 48 + 96
    assert (costs.steps, costs.unknown_loops) == (5 + 5, 1)


def test_a_sum_over_devices_in_a_loop():
    mesh = make_mesh(jax.devices()[:4])
    rows, all_rows = (NamedSharding(mesh, PartitionSpec(*spec)) for spec in (("data",), ()))

    def repeated(x, y):
        def step(total, block):  # the sum over rows crosses devices
            return total + block, jnp.matmul(x.T, y * block)

        return jax.lax.scan(step, jnp.zeros(()), jnp.arange(7.0))[1]

    compute = jax.jit(repeated, in_shardings=rows, out_shardings=all_rows)
    costs = CompiledProgram(compute.lower(jnp.ones((8, 3)), jnp.ones((8, 5))).compile().as_text()).costs()
    assert [(each.kind, each.shape, each.bytes * each.times) for each in costs.collectives] == [
        ("all-reduce", (3, 5), 7 * 3 * 5 * 4)
    ]
    assert costs.flops == 7 * 2 * 3 * 5 * 2


@pytest.mark.parametrize(("size", "stride"), [(7, 2), (3, 1), (3, 2), (1, 2)])
def test_products_of_convolutions_are_those_that_xla_counts(size, stride):
    def loss(kernel, x):
        y = jax.lax.conv_general_dilated(
            x, kernel, (stride, stride), [((size - 1) // 2,) * 2] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return (y * weights).sum()

    x, kernel = jnp.ones((4, 20, 18, 8)), jnp.ones((size, size, 8, 6))
    weights = jnp.ones((4, -(-20 // stride), -(-18 // stride), 6))
    compiled = jax.jit(jax.grad(loss, argnums=(0, 1))).lower(kernel, x).compile()
    counted = CompiledProgram(compiled.as_text()).costs().flops
    assert counted == pytest.approx(compiled.cost_analysis()["flops"], rel=0.01)
