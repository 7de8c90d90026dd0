"""Serves a web page and an API that search a gallery by photo, recipe or ingredients.

python -m adamine_jax.serve --workdir runs/a
python -m adamine_jax.serve --workdir runs/a --gallery galleries/mine --port 8080
python -m adamine_jax.serve --workdir runs/a --store postgresql://cook@db.example.org/recipes

Open the printed address in a browser. The server accepts only local connections unless --host is given. SIGTERM and
Ctrl-C stop it after all accepted requests are answered.
"""

import argparse
import contextlib
import gc
import importlib.util
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from adamine_jax.base.errors import UserError, one_line_errors, shown
from adamine_jax.base.extras import how_to_get
from adamine_jax.base.flags import given_path, local_path
from adamine_jax.gallery import opening, store
from adamine_jax.gallery.store import Store
from adamine_jax.queries.encoder import Encoder
from adamine_jax.runs import workdir
from adamine_jax.serving import workers

if TYPE_CHECKING:
    import uvicorn

BATCH_SIZES = (1, 8, 32)
BACKLOG = 2048
"""Connections that wait to be accepted."""
MIN_TOKEN = 16
"""Minimum length of a token."""
GRACE_SECONDS, STOP_SECONDS = 25, 28.0
"""Time after SIGTERM to answer the accepted requests, and until the process ends in any case, in seconds."""


@one_line_errors
def main(arguments: list[str] | None = None) -> int | None:
    """Parses the flags, loads the model and the gallery, and serves until stopped."""
    flags = _parser().parse_args(arguments)
    for package in ("fastapi", "uvicorn", "python_multipart", "msgspec", "threadpoolctl", "prometheus_client"):
        if importlib.util.find_spec(package) is None:
            raise UserError(f"serving {how_to_get(package, 'serve')}")
    workdir.load_config(flags.workdir)  # reports a wrong workdir before a missing gallery in it
    place = flags.store or flags.gallery or flags.workdir / "gallery" / "test"
    gallery = opening.opened(place, shared=flags.workers is not None and flags.workers > 1)
    if min(flags.batch, flags.queue) < 1:
        raise UserError("--batch and --queue: expected at least 1")
    if flags.workers is not None and flags.workers < 1:
        raise UserError(f"--workers {flags.workers}: expected at least 1")
    inherited = workers.inherited()
    with inherited or bound_socket(flags.host, flags.port) as bound:
        if flags.workers is not None and inherited is None:
            del gallery  # only the workers need it
            bound.listen(BACKLOG)
            given = sys.argv[1:] if arguments is None else arguments
            return workers.supervise(flags.workers, bound, given, STOP_SECONDS)
        _serve(flags, gallery, bound)
    return None


def _serve(flags: argparse.Namespace, gallery: Store, bound: socket.socket) -> None:
    import uvicorn

    from adamine_jax.serving.app import create_app
    from adamine_jax.serving.connections import Connection, Server
    from adamine_jax.serving.engine import Engine
    from adamine_jax.serving.guard import Limits

    token = _token(flags.token_file) if flags.token_file else ""
    encoder = Encoder(workdir.load_from_flags(flags), [size for size in BATCH_SIZES if size <= flags.batch])
    gallery.check_model(encoder.digest)
    gallery.check()
    if not encoder.reads_photos:
        print("the model reads image features: without --image-encoder, photos cannot be queries", file=sys.stderr)
    sizes = ", ".join(map(str, encoder.sizes))
    print(f"{shown(gallery.name)}: {len(gallery):,} items; compiling for batch sizes {sizes}", flush=True)
    engine = Engine(encoder, gallery, Limits(queue=flags.queue), flags.batch)
    local = ("localhost", "127.0.0.1", "[::1]") if flags.host in ("localhost", "127.0.0.1", "::1") else ()
    app = create_app(engine, flags.allow_origin, flags.allowed_host or local, token)
    if len(gallery) < store.SMALLEST:
        # A second BLAS thread has nothing to do on so few items, but its spinning takes a third of two cores.
        import threadpoolctl

        threadpoolctl.threadpool_limits(1, "blas")
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    sys.setswitchinterval(0.0005)  # threads that wait for the decoding processes continue sooner
    gc.freeze()  # keeps the collector from scanning permanent objects while queries wait
    config = uvicorn.Config(
        app,
        http=Connection,
        log_level="error",  # clients could fill the log with warnings about their requests
        access_log=False,  # URLs contain queries
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        backlog=BACKLOG,
    )
    server = Server(config)
    signal.signal(workers.REPLACED, lambda *_: server.drain())
    # Before uvicorn handles signals, and when it raises them again after it has stopped.
    signal.signal(signal.SIGTERM, lambda *_: setattr(server, "should_exit", True))
    bound.listen(BACKLOG)  # clients that connect right after "ready" wait instead of being refused
    host, port = bound.getsockname()[:2]
    print(f"ready: http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)

    def is_stopping() -> bool:
        return server.should_exit

    app.is_stopping = is_stopping
    threading.Thread(target=_end_in_time, args=(is_stopping,), daemon=True).start()
    if workers.SOCKET in os.environ:
        threading.Thread(target=_end_with_parent, args=(server,), daemon=True).start()
    before = threading.enumerate()
    with contextlib.closing(engine), gallery.accepting_changes() if token else contextlib.nullcontext():
        server.run(sockets=[bound])
    with contextlib.suppress(OSError):  # nobody may read the output any more
        print("stopped", flush=True)
    threads = [thread for thread in threading.enumerate() if thread not in before and not thread.daemon]
    for thread in threads:
        thread.join(0.2)
    if any(thread.is_alive() for thread in threads):
        os._exit(0)  # the interpreter would wait for them


def _token(path: Path) -> str:
    """Returns the token in a file."""
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise UserError(f"--token-file {path}: cannot be read ({error})") from None
    if len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable():
        raise UserError(f"--token-file {path}: expected one line of at least {MIN_TOKEN} ASCII characters")
    return token


def _end_with_parent(server: "uvicorn.Server") -> None:
    """Stops a worker whose supervisor was killed, so that the address is free again."""
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(1)
    server.should_exit = True


def _end_in_time(is_stopping: Callable[[], bool]) -> None:
    """Ends the process if it has not stopped by itself in time, whatever it is doing."""
    while not is_stopping():
        time.sleep(0.5)
    time.sleep(STOP_SECONDS)
    print("stopped; some queries were not answered in time", flush=True)
    os._exit(0)


def bound_socket(host: str, port: int) -> socket.socket:
    """Returns a socket bound to an address, which does not listen yet."""
    if not 0 <= port <= 65535:
        raise UserError(f"--port {port}: expected 0 to 65535")
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
        raise UserError(f"--host {host} --port {port}: cannot be used ({reason}); choose another address") from None
    return bound


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m adamine_jax.serve", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    workdir.add_flags(parser)
    place = parser.add_mutually_exclusive_group()
    place.add_argument(
        "--gallery", type=given_path, metavar="DIR", help="gallery to search (default: WORKDIR/gallery/test)"
    )
    opening.add_store_flag(place)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: local connections only)")
    parser.add_argument("--port", type=int, default=8000, help="default: 8000; 0 chooses a free port")
    parser.add_argument(
        "--allow-origin",
        action="append",
        default=[],
        metavar="URL",
        help="site whose pages may use the API; repeatable",
    )
    parser.add_argument(
        "--allowed-host",
        action="append",
        metavar="NAME",
        help="accepted name in the Host header; repeatable (default: local names, or any name with another --host)",
    )
    parser.add_argument(
        "--workers",
        type=int,
        help="number of processes, each with a model of its own, which SIGHUP replaces one by one (default: this one)",
    )
    parser.add_argument(
        "--token-file",
        type=local_path,
        metavar="FILE",
        help="accept changes of the gallery with the token in this file (default: no changes)",
    )
    parser.add_argument(
        "--batch", type=int, default=BATCH_SIZES[-1], help="maximum number of queries per batch (default: 32)"
    )
    parser.add_argument(
        "--queue", type=int, default=64, help="maximum number of pending queries; further ones get a 503 (default: 64)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
