"""Takes the place of `python` in the commands of the documentation: training only checks its flags, servers are ended.

python documented_python.py -m adamine_jax.main --config …
"""

import subprocess
import sys


def main(arguments):
    if arguments[:1] != ["-m"]:
        sys.exit(subprocess.run([sys.executable, *arguments]).returncode)
    if arguments[1:3] == ["adamine_jax.cli", "serve"]:
        arguments[1:3] = ["adamine_jax.serve"]
    module, sys.argv = arguments[1], arguments[1:]
    if module == "adamine_jax.main":
        from adamine_jax import main as train
        from adamine_jax.base.errors import one_line_errors
        from adamine_jax.config import overrides

        @one_line_errors
        def check():
            overrides.parse_flags(sys.argv)
            assert train.CONFIG.value is not None
            assert train.WORKDIR.value is not None
            print(f"the flags of a run in {train.WORKDIR.value} are valid")

        sys.exit(check())
    if module == "adamine_jax.serve" and "--help" not in arguments:
        with subprocess.Popen([sys.executable, *arguments, "--port", "0"], stdout=subprocess.PIPE, text=True) as server:
            is_ready = any(line.startswith("ready: ") for line in server.stdout)
            server.terminate()
            server.stdout.read()
        sys.exit(not is_ready)
    sys.exit(subprocess.run([sys.executable, *arguments]).returncode)


if __name__ == "__main__":
    main(sys.argv[1:])
