"""Serves a page and an API on which a gallery is searched with photos, recipes and ingredients.

python -m adamine_jax.serve --workdir runs/a
python -m adamine_jax.serve --workdir runs/a --gallery galleries/mine --port 8080

Then open the address that it prints. Only this machine reaches it, unless --host says otherwise. SIGTERM and Ctrl-C
stop it when what it has begun is answered.
"""

import argparse
import gc
import importlib.util
import signal
import socket
import sys
from pathlib import Path

from adamine_jax.base.errors import UserError, one_line_errors
from adamine_jax.base.extras import how_to_get
from adamine_jax.base.flags import given_path
from adamine_jax.gallery import index
from adamine_jax.gallery.store import open_gallery
from adamine_jax.queries.encoder import Encoder
from adamine_jax.runs import workdir

BATCH_SIZES = (1, 8, 32)


@one_line_errors
def main(arguments: list[str] | None = None) -> None:
    """Parses the flags, loads the model and the gallery, serves until it is told to stop."""
    flags = _parser().parse_args(arguments)
    for package in ("fastapi", "uvicorn", "python_multipart", "msgspec", "threadpoolctl"):
        if importlib.util.find_spec(package) is None:
            raise UserError(f"serving {how_to_get(package, 'serve')}")
    workdir.load_config(flags.workdir)  # a mistake in its name is told before one in the gallery's
    folder = flags.gallery or flags.workdir / "gallery" / "test"
    if not folder.is_dir():
        raise UserError(
            f"{folder}: no such folder; write it with `python -m adamine_jax.embed --workdir {flags.workdir} "
            f"--split test --out {folder}`"
        )
    if min(flags.batch, flags.queue) < 1:
        raise UserError("--batch and --queue take 1 or more")
    with bound_socket(flags.host, flags.port) as bound:
        _serve(flags, folder, bound)


def _serve(flags: argparse.Namespace, folder: Path, bound: socket.socket) -> None:
    import uvicorn

    from adamine_jax.serving.app import create_app
    from adamine_jax.serving.engine import Engine
    from adamine_jax.serving.limits import Limits

    sizes = [size for size in BATCH_SIZES if size <= flags.batch]
    encoder = Encoder(workdir.load_from_flags(flags), sizes)
    gallery = open_gallery(folder, encoder.digest)
    print(
        f"{folder}: {len(gallery):,} items; compiling for batches of {', '.join(map(str, encoder.sizes))}", flush=True
    )
    engine = Engine(encoder, gallery, Limits(queue=flags.queue), flags.batch)
    app = create_app(engine, flags.allow_origin)
    if len(gallery) < index.SMALLEST:
        # Among so few a second thread of BLAS finds nothing to do, but spins, which takes a third of two cores.
        import threadpoolctl

        threadpoolctl.threadpool_limits(1, "blas")
    gc.freeze()  # what stays need not be looked through again and again while queries wait
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,  # addresses hold what people search for
        server_header=False,
        timeout_graceful_shutdown=round(engine.limits.seconds),
    )
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises the signal again when it has stopped
    bound.listen(config.backlog)  # who connects as soon as it says ready waits, and is not refused
    host, port = bound.getsockname()[:2]
    print(f"ready: http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)
    server = uvicorn.Server(config)
    app.is_stopping = lambda: server.should_exit
    server.run(sockets=[bound])
    print("stopped", flush=True)


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket at an address, which listens to nobody yet.

    Raises:
        UserError: the address is no address of this machine, or in use.
    """
    if not 0 <= port <= 65535:
        raise UserError(f"--port {port}: takes 0 to 65535")
    bound = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except (OSError, OverflowError) as error:
        if bound:
            bound.close()
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"--host {host} --port {port}: cannot be used ({reason}); give others") from None
    return bound


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m adamine_jax.serve", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    workdir.add_flags(parser)
    parser.add_argument(
        "--gallery", type=given_path, metavar="DIR", help="what is searched (default: WORKDIR/gallery/test)"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine alone)")
    parser.add_argument("--port", type=int, default=8000, help="default: 8000; 0 = any that is free")
    parser.add_argument(
        "--allow-origin", action="append", default=[], metavar="URL", help="a site whose pages may use the API"
    )
    parser.add_argument("--batch", type=int, default=BATCH_SIZES[-1], help="queries computed together (default: 32)")
    parser.add_argument("--queue", type=int, default=64, help="queries taken at once, others get a 503 (default: 64)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
