"""Takes the place of `python` and `pip` in the commands of the documentation.

Nothing is installed: the names of extras are checked. Training ends after its flags are checked, and a server ends
when it is ready.
"""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path


def main(arguments):
    if arguments[0] == "pip":
        check_extras(arguments)
        return
    if arguments[:3] == ["-m", "adamine_jax.cli", "serve"]:
        arguments[1:3] = ["adamine_jax.serve"]
    if arguments[:2] == ["-m", "adamine_jax.main"]:
        sys.argv = arguments[1:]
        check_flags()
    elif arguments[:2] == ["-m", "adamine_jax.serve"]:
        start_and_end([sys.executable, *arguments, "--port", "0"])
    else:
        os.execv(sys.executable, [sys.executable, *arguments])


def check_extras(arguments):
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    named = {
        extra for argument in arguments for names in re.findall(r"\[(.+)\]", argument) for extra in names.split(",")
    }
    assert named <= project["optional-dependencies"].keys(), named


def check_flags():
    from adamine_jax import main as train
    from adamine_jax.base.errors import one_line_errors
    from adamine_jax.config import overrides

    one_line_errors(overrides.parse_flags)(sys.argv)
    assert train.CONFIG.value is not None
    print(f"the flags of a run in {train.WORKDIR.value} are valid")


def start_and_end(command):
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        is_ready = any(line.startswith("ready: ") for line in server.stdout)
        server.terminate()
        server.stdout.read()
    sys.exit(not is_ready)


if __name__ == "__main__":
    main(sys.argv[1:])
