"""Pages of the documentation site that are made from the repository: configuration, commands, benchmarks, README.

MkDocs loads this module as a hook. Links between files of the repository become links between pages; a link to a file
that is not part of the site becomes its text.
"""

import functools
import inspect
import os
import posixpath
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
BUILDERS = (
    "data_builders.recipe1m",
    "data_builders.recipe1m import",
    "data_builders.recipe1m check",
    "data_builders.kitchen",
)
_PAGES = {"README.md": "start.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
_DEFAULT = re.compile(r"^\s+\w+\.(\w+) = .+?  # (.+)$", re.MULTILINE)
_FIELD = re.compile(r"^    config\.([\w.]+) = (.+?)(?:  # (.*))?$")


def on_files(files: Any, config: Any) -> Any:
    """Adds the pages that are made from other files."""
    from mkdocs.structure.files import File

    made = {page: (ROOT / source).read_text(encoding="utf-8") for source, page in _PAGES.items()}
    made["reference/config.md"] = "\n".join(configuration())
    made["reference/commands.md"] = "\n".join(commands())
    for path in _benchmarks():
        made[_place(path)] = (ROOT / path).read_text(encoding="utf-8")
    for page, content in made.items():
        files.append(File.generated(config, page, content=content))
    for path in sorted((ROOT / "benchmarks" / "results").glob("*.png")):
        files.append(File.generated(config, f"benchmarks/{path.name}", abs_src_path=str(path)))
    return files


def on_config(config: Any) -> Any:
    """Lists the benchmarks in the navigation."""
    for section in config.nav:
        if "Benchmarks" in section:
            section["Benchmarks"] = [_place(path) for path in _benchmarks()]
    return config


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Rewrites the links of a page."""
    here = page.file.src_uri
    sources = {site: source for source, site in _site_places().items()}
    folder = posixpath.dirname(sources.get(here, f"docs/{here}"))

    def rewritten(match: re.Match) -> str:
        mark, text, target = match.groups()
        path, hash_, anchor = target.partition("#")
        if ":" in path or not path:
            return match[0]
        repository = posixpath.normpath(posixpath.join(folder, path))
        place = _site_places().get(repository)
        if place is None and repository.startswith("docs/"):
            place = repository.removeprefix("docs/")
        if place is None and repository.startswith("benchmarks/results/"):
            place = f"benchmarks/{posixpath.basename(repository)}"
        if place is None:
            if not (ROOT / repository).exists():
                return match[0]  # MkDocs reports it
            return text
        return f"{mark}[{text}]({posixpath.relpath(place, posixpath.dirname(here) or '.')}{hash_}{anchor})"

    parts = re.split(r"(^```.*?^```$)", markdown, flags=re.DOTALL | re.MULTILINE)
    return "".join(part if part.startswith("```") else _LINK.sub(rewritten, part) for part in parts)


def equation(source: str, *_: Any, **__: Any) -> str:
    """Formats a block of LaTeX as MathML, which browsers draw themselves."""
    from latex2mathml.converter import convert

    return f'<div class="equation">{convert(source, display="block")}</div>'


def configuration() -> Iterator[str]:
    """Yields the reference of the configuration: the fields and comments of configs/adamine.py, and the sections."""
    from adamine_jax.losses.registry import LOSSES
    from adamine_jax.losses.registry import section as loss_section
    from adamine_jax.models import registry as towers

    yield from (
        "# Configuration",
        "",
        "Every field is set as `--config.section.field=value`. The defaults are those of",
    )
    yield from ("`configs/adamine.py`; other presets change some of them.", "")
    yield from _table(fields((ROOT / "configs" / "adamine.py").read_text(encoding="utf-8")))
    yield from ("", "## Losses", "", "`--config FILE:loss=NAME` selects a loss, whose fields are `config.loss.…`.", "")
    for name in LOSSES.names():
        if name != "weighted_sum":
            yield from _section(f"loss {name}", LOSSES(name), loss_section(name))
    yield from ("", "## Towers", "", "`--config FILE:image=NAME,recipe=NAME` selects towers, whose fields are")
    yield from ("`config.model.image.…` and `config.model.recipe.…`.", "")
    for modality, registry in towers.TOWERS.items():
        for name in registry.names():
            yield from _section(f"{modality} tower {name}", registry(name), towers.section(modality, name))


def fields(source: str) -> Iterator[tuple[str, str, str]]:
    """Yields (name, default, comment) of each field that a preset sets."""
    for line in _joined(source).splitlines():
        if (match := _FIELD.match(line)) and "ConfigDict()" not in match[2]:
            yield match[1], match[2], match[3] or ""


def commands() -> Iterator[str]:
    """Yields the help of all commands."""
    yield from (
        "# Commands",
        "",
        "`pip install .` also installs them as `adamine train`, `adamine search` and so on.",
        "",
    )
    from adamine_jax.cli import COMMANDS

    modules = (module for module, _ in COMMANDS.values() if module.startswith("adamine_jax."))
    names = [*modules, *BUILDERS]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for name, text in zip(names, threads.map(_help, names), strict=True):
            yield from (f"## `python -m {name}`", "", "```text", text.strip(), "```", "")


def _help(name: str) -> str:
    environment = os.environ | {"COLUMNS": "110", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", *name.split(), "--help"]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout


def _section(title: str, owner: type, defaults: Any) -> Iterator[str]:
    yield from (f"### {title}", "", *inspect.cleandoc(owner.__doc__ or "").split("\n\n")[0].splitlines(), "")
    comments = _comments(owner)
    rows = [(name, repr(value), comments.get(name, "")) for name, value in defaults.items() if name != "name"]
    yield from _table(rows) if rows else ("No fields.",)
    yield ""


def _comments(owner: type) -> dict[str, str]:
    """Returns the comments beside the defaults of a loss or a tower."""
    found: dict[str, str] = {}
    for each in reversed(owner.__mro__):
        if each.__module__.startswith("adamine_jax."):
            path = Path(inspect.getfile(each))
            for source in (path.with_name(f"{path.stem.removeprefix('hierarchical_')}_section.py"), path):
                if source.exists():
                    found |= dict(_DEFAULT.findall(_joined(source.read_text(encoding="utf-8"))))
    return found


def _joined(source: str) -> str:
    """Joins assignments that were divided only because they are long."""
    return re.sub(r" = \(\n\s+(.*?)\n\s+\)", lambda match: f" = {match[1]}", source)


def _table(rows: Any) -> Iterator[str]:
    yield from ("| field | default | |", "|---|---|---|")
    for name, default, comment in rows:
        yield f"| `{name}` | `{default}` | {comment.replace('|', chr(92) + '|')} |"


def _benchmarks() -> list[str]:
    results = sorted(path.name for path in (ROOT / "benchmarks" / "results").glob("*.md"))
    return ["benchmarks/README.md", *(f"benchmarks/results/{name}" for name in results)]


def _place(path: str) -> str:
    """Returns the page of a file of the benchmarks."""
    return "benchmarks/index.md" if path == "benchmarks/README.md" else f"benchmarks/{posixpath.basename(path)}"


@functools.cache
def _site_places() -> dict[str, str]:
    """Returns the page of each file of the repository outside docs/ that is on the site."""
    return _PAGES | {path: _place(path) for path in _benchmarks()}
