"""What an installation brings, and that the lists which say so agree."""

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]


def requirements(lines):
    """{name: what is required of it} of lines that may have comments."""
    found = {}
    for line in lines:
        if text := line.partition("#")[0].strip():
            requirement = Requirement(text)
            assert found.setdefault(requirement.name, str(requirement)) == str(requirement)
    return found


def test_requirements_txt_is_the_dependencies_and_three_extras():
    of_project = [*PROJECT["dependencies"], *EXTRAS["convert"], *EXTRAS["figures"], *EXTRAS["search"]]
    of_file = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert requirements(of_file) == requirements(of_project)


def test_a_package_has_the_same_range_in_all_extras():
    lines = [line for extra in EXTRAS.values() for line in extra if not Requirement(line).extras]
    assert requirements([*PROJECT["dependencies"], *lines])


def test_training_needs_none_of_what_makes_data_sets_or_draws():
    assert len(PROJECT["dependencies"]) <= 14
