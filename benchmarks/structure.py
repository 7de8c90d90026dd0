"""The structure of the code in numbers, as a table: `python -m benchmarks.structure`."""

import subprocess
import sys
import tomllib
from pathlib import Path

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


def lines() -> int:
    """Lines of product code."""
    paths = (path for package in (*PACKAGES, "configs") for path in (ROOT / package).rglob("*.py"))
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)


def main() -> None:
    """Prints the table."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    rows = {
        "modules at the top level of adamine_jax": modules("adamine_jax"),
        "modules in data_builders/recipe1m": modules("data_builders/recipe1m"),
        "modules in the largest folder": largest(),
        "import cycles": cycles(),
        "modules that adamine_jax.evaluate loads": loaded("adamine_jax.evaluate"),
        "dependencies of `pip install .`": len(project["dependencies"]),
        "lines of product code": f"{lines():,}",
    }
    for name, value in rows.items():
        print(f"{name:<52}{value}")


if __name__ == "__main__":
    main()
