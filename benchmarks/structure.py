"""Prints statistics of the code's structure.

    python -m benchmarks.structure [--data DATA]

With a converted data set, the statistics include the number of modules between a TFRecord and the loss: modules with a
function that is called while a batch is planned, read and transferred, or while the quickstart's step is traced.
"""

import argparse
import subprocess
import sys
import threading
import tomllib
from pathlib import Path
from types import FrameType

from adamine_jax.base.errors import one_line_errors

ROOT = Path(__file__).parents[1]
PACKAGES = ("adamine_jax", "data_builders")


def modules(folder: Path) -> int:
    """Returns the number of modules in a folder, without its subfolders."""
    return len(list(folder.glob("*.py")))


def largest() -> str:
    """Returns the largest number of modules in a folder, and the folder."""
    folders = {path.parent for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    count, folder = max((modules(folder), folder.relative_to(ROOT).as_posix()) for folder in folders)
    return f"{count} ({folder})"


def cycles() -> int:
    """Returns the number of pairs of modules that import each other, directly or indirectly."""
    import grimp

    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    importers = {module: graph.find_downstream_modules(module) for module in graph.modules}
    return sum(module < other and module in importers[other] for module in importers for other in importers[module])


def loaded(module: str) -> str:
    """Returns the number of our modules that an import loads, and whether it loads matplotlib and the loss."""
    command = [sys.executable, "-c", f"import {module}, sys; print(*sys.modules)"]
    done = subprocess.run(command, capture_output=True, check=True, cwd=ROOT)
    names = done.stdout.decode().split()
    ours = [name for name in names if name.partition(".")[0] in (*PACKAGES, "configs")]
    avoidable = [name for name in ("matplotlib", "adamine_jax.losses.adamine") if name in names]
    return f"{len(ours)}, including {' and '.join(avoidable) or 'neither matplotlib nor the loss'}"


def on_batch_path(data: Path) -> set[str]:
    """Returns the modules with a function that is called between the plan of a batch and the gradient of its loss."""
    from adamine_jax.config import preset
    from adamine_jax.distributed.mesh import make_mesh
    from adamine_jax.input import pipeline
    from adamine_jax.input.dataset import open_dataset
    from adamine_jax.input.plan import epoch_plan
    from adamine_jax.losses import registry as losses
    from adamine_jax.models.adamine import build_model
    from adamine_jax.training import state, step

    dataset, config, mesh = open_dataset(data), preset("quickstart"), make_mesh()
    config.model.recipe.word_dim = int(dataset.word_vectors().shape[1])
    index, classes = dataset.index("train"), len(dataset.class_names)
    model, loss = build_model(config.model, table_rows=dataset.table_rows), losses.build(config.loss)
    variables = state.initial_variables(config, model, loss, num_classes=classes)
    initial = state.create_state(model, loss, variables, mesh)
    called: set[str] = set()

    def record(frame: FrameType, event: str, _: object) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in PACKAGES:
            called.add(path.relative_to(ROOT).as_posix())

    threading.setprofile(record)
    sys.setprofile(record)
    try:
        batches = pipeline.train_batches(
            index,
            epoch_plan(index.class_id, config.seed, 0, config.batch_size)[:3],
            config,
            first_step=0,
            rows=slice(None),
        )
        batch = next(pipeline.to_devices(batches, mesh))
        train_step = step.make_train_step(model, loss, config, mesh, 10)
        train_step.lower(initial, batch, frozen=False)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return called


def lines() -> int:
    """Returns the number of lines of product code."""
    paths = (path for package in (*PACKAGES, "configs") for path in (ROOT / package).rglob("*.py"))
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)


@one_line_errors
def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="converted data set")
    data = parser.parse_args().data
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    rows = {
        "modules at the top level of adamine_jax": modules(ROOT / "adamine_jax"),
        "modules in data_builders/recipe1m": modules(ROOT / "data_builders/recipe1m"),
        "modules in the largest folder": largest(),
        "import cycles": cycles(),
        "modules loaded by adamine_jax.evaluate": loaded("adamine_jax.evaluate"),
        **({"modules between a TFRecord and the loss": len(on_batch_path(data))} if data else {}),
        "dependencies of `pip install .`": len(project["dependencies"]),
        "lines of product code": f"{lines():,}",
    }
    for name, value in rows.items():
        print(f"{name:<52}{value}")


if __name__ == "__main__":
    sys.exit(main())
