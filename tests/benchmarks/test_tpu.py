"""Small programs are compiled for a TPU topology, where the compiler is installed."""

import json

import jax
import pytest

from adamine_jax.base.errors import UserError
from adamine_jax.config import preset
from benchmarks import tpu, tpu_programs
from benchmarks.hlo_costs import CompiledProgram
from benchmarks.tpu_programs import Program

SMALL = (Program("train", "quickstart", "v5e:2x2", 8), Program("loss", "adamine", "v5e:2x2", 32))


def small_preset(name):
    config = preset(name)
    config.model.recipe.word_dim = 16
    return config


@pytest.fixture
def no_compilation_cache():
    yield
    jax.config.update("jax_enable_compilation_cache", True)


@pytest.mark.slow
@pytest.mark.usefixtures("no_compilation_cache")
def test_programs_are_compiled_once(tmp_path, monkeypatch):
    pytest.importorskip("libtpu")
    monkeypatch.setattr(tpu, "PROGRAMS", SMALL)
    monkeypatch.setattr(tpu_programs, "preset", small_preset)
    cache, page = tmp_path / "tpu.json", tmp_path / "page.md"
    monkeypatch.setattr("sys.argv", ["tpu", "--cache", str(cache), "--out", str(page)])
    tpu.main()
    train, loss = json.loads(cache.read_text()).values()
    assert train["collectives"]["all-reduce"]["bytes"] > 4 * 1_000_000  # gradients of a million parameters
    assert loss["passes"] == 6 * loss["flops"]  # float32
    assert loss["flops"] >= 3 * 2 * 128**2 * 1024 / 4
    assert 0 < train["traffic"] < train["xla_bytes"]
    text = page.read_text()

    def compile_nothing(program):
        raise AssertionError(program)

    monkeypatch.setattr(tpu, "measured", compile_nothing)
    tpu.main()
    assert page.read_text() == text
    assert text.count("| quickstart, train | v5e:2x2 | 8 |") == 1


@pytest.mark.slow
@pytest.mark.usefixtures("no_compilation_cache")
def test_gradients_are_reduced_within_slices_first(monkeypatch):
    pytest.importorskip("libtpu")
    monkeypatch.setattr(tpu_programs, "preset", small_preset)
    monkeypatch.setattr(tpu_programs, "TABLE_ROWS", 64)
    tpu_programs.describe_tpus()
    one, two = (
        CompiledProgram(Program("train", "quickstart", "v5e:2x2", 8, slices=count).lower().compile().as_text()).costs()
        for count in (1, 2)
    )
    # Each of the four chips of a slice sends its quarter of the gradients to the other slice.
    assert one.sent("send") == 0
    # Arrays that four chips cannot share evenly are padded or sent whole.
    quarter = one.sent("all-reduce") / 4
    assert quarter < two.sent("send") < 2 * quarter
    with pytest.raises(UserError, match=r"number of devices of a slice, 4; use 1, 2, 4"):
        Program("train", "quickstart", "v5e:2x2", 8, fsdp=8, slices=2).lower()


def test_rows_of_the_page():
    row = {"seconds": 1, "peak": 2**30, "state": 0, "flops": 1e12, "passes": 2e12, "traffic": 819e9, "copied": 1e9}
    row |= {"steps": 7, "unknown_loops": 0, "xla_flops": 1e12, "xla_bytes": 2e9}
    row["collectives"] = {"all-reduce": {"count": 3, "bytes": 1e9, "overlapping": 5e8}}
    program = Program("plain ViT", "", "v5e:2x2", 10)
    cells = [cell.strip() for cell in tpu.table([(program, row)])[-1].split("|")]
    # 2 · 3/4 of a gigabyte at 200 GB/s; 95 % of 16 GiB hold 15.2 times the rows.
    assert cells[3:-1] == ["10", "1.00 of 16", "152", "2.00", "819.0", "1.0", "7", "10.2", "1000.0", "7.5", "1"]
    assert "| plain ViT | v5e:2x2 | all-reduce | 3 | 1,000.0 | 50% |" in tpu.page([(program, row)], {})
    other = {program.name: row | {"peak": 2**29}}
    assert "| plain ViT | v5e:2x2 | 2.00 | 1.00 | 1.00 | 1.00 | 1.00 |" in tpu.page([(program, row)], other)
