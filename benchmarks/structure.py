"""The structure of the code in numbers, as a table: `python -m benchmarks.structure [--data DATA]`.

With a converted data set it also counts the modules that a batch passes from TFRecord to loss: those with a function
that is called while a batch is planned, read and put on the devices, or while the quickstart's step is traced.
"""

import argparse
import subprocess
import sys
import threading
import tomllib
from pathlib import Path
from types import FrameType

import grimp

ROOT = Path(__file__).parents[1]
PACKAGES = ("adamine_jax", "data_builders")


def modules(folder: str) -> int:
    """Modules that lie in a folder itself."""
    return len(list((ROOT / folder).glob("*.py")))


def largest() -> str:
    """The folder with the most modules."""
    folders = {path.parent for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    folder = max(folders, key=lambda each: len(list(each.glob("*.py"))))
    return f"{len(list(folder.glob('*.py')))} ({folder.relative_to(ROOT).as_posix()})"


def cycles() -> int:
    """Pairs of modules that reach each other by imports."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    below = {module: graph.find_downstream_modules(module) for module in graph.modules}
    return sum(module < other and module in below[other] for module in below for other in below[module])


def loaded(module: str) -> str:
    """How many modules importing one of ours loads, and what of matplotlib and the loss is among them."""
    command = [sys.executable, "-c", f"import {module}, sys; print(*sys.modules)"]
    done = subprocess.run(command, capture_output=True, check=True, cwd=ROOT)
    names = done.stdout.decode().split()
    ours = [name for name in names if name.partition(".")[0] in (*PACKAGES, "configs")]
    rest = [name for name in ("matplotlib", "adamine_jax.losses.adamine") if name in names]
    return f"{len(ours)}, {' and '.join(rest) or 'neither matplotlib nor the loss'} among them"


def passed_by_a_batch(data: Path) -> set[str]:
    """Modules of which a function is called between the plan of a batch and the gradient of its loss."""
    from adamine_jax.config import preset
    from adamine_jax.distributed.mesh import make_mesh
    from adamine_jax.input import pipeline
    from adamine_jax.input.dataset import open_dataset
    from adamine_jax.input.plan import epoch_plan
    from adamine_jax.input.records import load_index
    from adamine_jax.losses import registry as losses
    from adamine_jax.models.adamine import build_model
    from adamine_jax.training import optimizer, state, step

    dataset, config, mesh = open_dataset(data), preset("quickstart"), make_mesh()
    config.model.recipe.word_dim = int(dataset.word_vectors().shape[1])
    index, classes = load_index(dataset.shards("train")), len(dataset.class_names)
    model, loss = build_model(config.model, table_rows=dataset.table_rows), losses.build(config.loss)
    variables = state.initial_variables(config, model, loss, num_classes=classes)
    first = state.create_state(model, loss, variables, mesh)
    called: set[str] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in PACKAGES:
            called.add(path.relative_to(ROOT).as_posix())

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        batches = pipeline.train_batches(
            index,
            epoch_plan(index.class_id, config.seed, 0, config.batch_size)[:3],
            config,
            first_step=0,
            rows=slice(None),
        )
        batch = next(pipeline.to_devices(batches, mesh))
        take = step.make_train_step(model, loss, config, mesh, optimizer.learning_rate(config, 10))
        take.lower(first, batch, frozen=False)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return called


def lines() -> int:
    """Lines of product code."""
    paths = (path for package in (*PACKAGES, "configs") for path in (ROOT / package).rglob("*.py"))
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="a converted data set, to follow a batch")
    data = parser.parse_args().data
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    rows = {
        "modules at the top level of adamine_jax": modules("adamine_jax"),
        "modules in data_builders/recipe1m": modules("data_builders/recipe1m"),
        "modules in the largest folder": largest(),
        "import cycles": cycles(),
        "modules that adamine_jax.evaluate loads": loaded("adamine_jax.evaluate"),
        **({"modules that a batch passes from TFRecord to loss": len(passed_by_a_batch(data))} if data else {}),
        "dependencies of `pip install .`": len(project["dependencies"]),
        "lines of product code": f"{lines():,}",
    }
    for name, value in rows.items():
        print(f"{name:<52}{value}")


if __name__ == "__main__":
    main()
