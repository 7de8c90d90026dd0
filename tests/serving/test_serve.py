"""The command reports mistakes in one line, and stops on SIGTERM."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import psutil
import pytest
import threadpoolctl
import uvicorn

from adamine_jax import serve
from adamine_jax.gallery import store
from adamine_jax.gallery.folder import index
from adamine_jax.gallery.folder.store import Gallery
from adamine_jax.serving import connections
from tests.small_collection import photo_file


def error_of(capsys, *flags):
    assert serve.main([*map(str, flags)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_mistakes_are_reported_in_one_line(kitchen, tmp_path, capsys):
    run = ("--workdir", kitchen / "run", "--port", 0)
    assert "nowhere: no such folder; build the gallery with `python -m" in error_of(
        capsys, *run, "--gallery", "nowhere"
    )
    assert f"{tmp_path}: gallery.json is missing" in error_of(capsys, *run, "--gallery", tmp_path)
    assert "--port 99999: expected 0 to 65535" in error_of(capsys, *run[:2], "--port", 99999)
    error = error_of(capsys, "--workdir", tmp_path, "--port", 0)
    assert f"{tmp_path}/config.json: no such file" in error
    assert "--batch and --queue: expected at least 1" in error_of(capsys, *run, "--batch", 0)
    assert "--host 300.1.1.1 --port 0: cannot be used" in error_of(capsys, *run, "--host", "300.1.1.1")
    with socket.create_server(("127.0.0.1", 0)) as other:
        error = error_of(capsys, "--workdir", kitchen / "run", "--port", other.getsockname()[1])
    assert "cannot be used (Address already in use); choose another address" in error


def test_another_models_gallery_is_refused(kitchen, tmp_path, capsys):
    shutil.copytree(kitchen / "run" / "gallery" / "test", tmp_path / "g")
    about = (tmp_path / "g" / "gallery.json").read_text()
    (tmp_path / "g" / "gallery.json").write_text(re.sub('"model": "[0-9a-f]*"', '"model": "0000"', about))
    error = error_of(capsys, "--workdir", kitchen / "run", "--port", 0, "--gallery", tmp_path / "g")
    assert "built by another model" in error


def test_a_deleted_index_is_reported_at_startup(kitchen, folder, tmp_path, capsys, monkeypatch):
    shutil.copytree(folder, tmp_path / "g")
    monkeypatch.setattr(store, "SMALLEST", 5)
    index.build(Gallery(tmp_path / "g"), "image")
    capsys.readouterr()
    (tmp_path / "g" / "image.faiss").unlink()
    error = error_of(capsys, "--workdir", kitchen / "run", "--port", 0, "--gallery", tmp_path / "g")
    assert f"{tmp_path}/g/image.faiss: cannot be read" in error


@pytest.mark.parametrize("package", ["fastapi", "msgspec"])
def test_a_missing_package_is_reported(package, kitchen, capsys, monkeypatch):
    find = serve.importlib.util.find_spec
    monkeypatch.setattr(serve.importlib.util, "find_spec", lambda name: None if name == package else find(name))
    error = error_of(capsys, "--workdir", kitchen / "run")
    assert error == f"error: serving needs {package}, which is not installed: pip install 'adamine-jax[serve]'"


@pytest.mark.slow
def test_it_serves_until_sigterm_and_does_not_log_queries(kitchen):
    command = [sys.executable, "-m", "adamine_jax.serve", "--workdir", str(kitchen / "run"), "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"}
    ) as process:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("ready: "):
                break
        address = line.removeprefix("ready: ").strip()
        assert address.startswith("http://127.0.0.1:")
        assert (
            httpx.post(f"{address}/api/v1/search/photo", files={"photo": photo_file(7)}, timeout=60).status_code == 200
        )
        secret = {"ingredients": ["moonfruit"]}
        assert httpx.post(f"{address}/api/v1/search/recipe", json=secret, timeout=60).status_code == 200
        httpx.get(f"{address}/?ingredient=moonfruit")
        process.send_signal(signal.SIGTERM)
        lines += process.stdout.readlines()
        assert process.wait(60) == 0
    assert lines[-1] == "stopped\n"
    assert "moonfruit" not in "".join(lines)


STUCK = """
import sys, time
from adamine_jax import serve
from adamine_jax.queries.encoder import Encoder
embed = Encoder.embed_recipes
def stuck(self, recipes):
    while any(recipe.title == "stuck" for recipe in recipes):
        time.sleep(1)
    return embed(self, recipes)
Encoder.embed_recipes = stuck
sys.exit(serve.main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_it_stops_within_30_seconds_whatever_it_is_doing(kitchen):
    command = [sys.executable, "-c", STUCK, "--workdir", str(kitchen / "run"), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        address = next(line for line in process.stdout if line.startswith("ready: ")).removeprefix("ready: ").strip()
        host, port = address.removeprefix("http://").split(":")
        with (
            socket.create_connection((host, int(port))) as upload,
            socket.create_connection((host, int(port))) as query,
        ):
            head = f"POST /api/v1/search/{{}} HTTP/1.1\r\nhost: {host}\r\ncontent-type: {{}}\r\n"
            head += "content-length: {}\r\n\r\n"
            upload.sendall(head.format("photo", "multipart/form-data; boundary=x", 1000).encode() + b"--x")
            query.sendall(head.format("recipe", "application/json", 18).encode() + b'{"title": "stuck"}')
            assert httpx.get(f"{address}/api/v1/health").status_code == 200  # the server has read the others too
            start = time.monotonic()
            process.send_signal(signal.SIGTERM)
            output = process.stdout.read()
            assert process.wait(60) == 0
            assert time.monotonic() - start < 30
    assert output.count("stopped") == 1


def test_sigterm_before_the_server_handles_signals_is_not_lost(kitchen):
    command = [sys.executable, "-m", "adamine_jax.serve", "--workdir", str(kitchen / "run"), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert any(line.startswith("ready: ") for line in process.stdout)
        process.terminate()
        assert process.communicate(timeout=60)[0] == "stopped\n"
    assert process.returncode == 0


def test_it_is_reachable_when_ready_and_blas_has_one_thread(kitchen, capsys, monkeypatch):
    seen = []

    class Server:
        def __init__(self, config):
            self.should_exit = False

        def run(self, sockets):
            port = re.search(r"ready: http://127\.0\.0\.1:(\d+)", capsys.readouterr().out)[1]
            socket.create_connection(("127.0.0.1", int(port)), timeout=5).close()
            seen.extend(pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas")

    monkeypatch.setattr(connections, "Server", Server)
    monkeypatch.setattr(
        uvicorn.Config, "configure_logging", lambda self: None
    )  # logging would keep a stream that capsys closes
    monkeypatch.setattr(serve.gc, "freeze", lambda: None)
    monkeypatch.setattr(serve.signal, "signal", lambda *_: None)
    with threadpoolctl.threadpool_limits(4, "blas"):
        assert serve.main(["--workdir", str(kitchen / "run"), "--port", "0"]) == 0
    assert set(seen) == {1}


def test_several_processes_answer_count_together_and_are_replaced(kitchen):
    command = [sys.executable, "-m", "adamine_jax.serve", "--workdir", str(kitchen / "run"), "--port", "0"]
    with (
        subprocess.Popen([*command, "--workers", "2"], stdout=subprocess.PIPE, text=True) as process,
        contextlib.ExitStack() as stack,
    ):
        stack.callback(process.kill)  # if the test fails
        line = next(line for line in process.stdout if line.startswith("ready: "))
        assert line.endswith("(2 workers)\n")
        address = line.split()[1]
        workers = psutil.Process(process.pid).children()
        for worker in workers:
            stack.callback(kill, worker)
        assert len(workers) == 2
        query = {"ingredients": ["beets"], "in": "recipes", "top": 3}
        found = [httpx.post(f"{address}/api/v1/search/recipe", json=query).json()["recipes"] for _ in range(20)]
        assert all(hits == found[0] for hits in found)
        counted = httpx.get(f"{address}/metrics").text
        assert 'adamine_requests_total{method="POST",path="/api/v1/search/recipe",status="200"} 20.0' in counted
        assert "adamine_gallery_items 12.0" in counted
        workers[0].kill()
        workers[0].wait(10)
        for _ in range(5):
            assert httpx.post(f"{address}/api/v1/search/recipe", json=query).json()["recipes"] == found[0]
        process.send_signal(signal.SIGTERM)
        assert "stopped\n" in process.stdout.read()
        assert process.wait(60) == 0
        assert not any(worker.is_running() for worker in workers)


@pytest.mark.slow
def test_model_and_gallery_are_replaced_without_a_failed_request(kitchen, folder, tmp_path):
    current, stop, sizes, failed = tmp_path / "current", threading.Event(), set(), []
    current.symlink_to(kitchen / "run" / "gallery" / "test")
    command = [sys.executable, "-m", "adamine_jax.serve", "--workdir", str(kitchen / "run"), "--port", "0"]
    command += ["--gallery", str(current), "--workers", "1"]

    def search(address):
        with httpx.Client(base_url=f"{address}/api/v1", timeout=60) as client:  # keeps its connection
            while not stop.is_set():
                try:
                    client.post("/search/recipe", json={"title": "soup", "top": 3}).raise_for_status()
                    sizes.add(client.get("/gallery").json()["items"])
                except httpx.HTTPError as error:
                    failed.append(repr(error))

    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process,
        contextlib.ExitStack() as stack,
    ):
        stack.callback(process.kill)  # if the test fails
        address = next(line for line in process.stdout if line.startswith("ready: ")).split()[1]
        (worker,) = psutil.Process(process.pid).children()
        stack.callback(kill, worker)
        clients = [threading.Thread(target=search, args=(address,)) for _ in range(4)]
        stack.callback(stop.set)
        for client in clients:
            client.start()
        (tmp_path / "next").symlink_to(folder)
        os.replace(tmp_path / "next", current)
        process.send_signal(signal.SIGHUP)
        assert next(line for line in process.stdout if line.startswith("ready: ")).endswith("(1 workers replaced)\n")
        assert httpx.get(f"{address}/api/v1/gallery").json()["items"] == 24
        (second,) = psutil.Process(process.pid).children()
        stack.callback(kill, second)
        assert second.pid != worker.pid
        current.unlink()  # a replacement that cannot start leaves the server as it is
        process.send_signal(signal.SIGHUP)
        assert any("worker 0 is not replaced" in line for line in process.stderr)
        assert httpx.get(f"{address}/api/v1/gallery").json()["items"] == 24
        stop.set()
        for client in clients:
            client.join()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert failed == []
    assert sizes == {12, 24}


def kill(process):
    with contextlib.suppress(psutil.NoSuchProcess):
        process.kill()


def test_a_worker_that_cannot_start_ends_all(kitchen, tmp_path):
    command = [sys.executable, "-m", "adamine_jax.serve", "--workdir", str(kitchen / "run"), "--port", "0"]
    command += ["--workers", "2", "--token-file", str(tmp_path / "missing")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "--token-file" in done.stderr


@pytest.mark.slow
def test_workers_end_with_their_supervisor(kitchen):
    command = [sys.executable, "-m", "adamine_jax.serve", "--workdir", str(kitchen / "run"), "--port", "0"]
    with (
        subprocess.Popen([*command, "--workers", "1"], stdout=subprocess.PIPE, text=True) as process,
        contextlib.ExitStack() as stack,
    ):
        stack.callback(process.kill)  # if the test fails
        next(line for line in process.stdout if line.startswith("ready: "))
        (worker,) = psutil.Process(process.pid).children()
        stack.callback(kill, worker)
        process.kill()  # as the system does when memory is short
        worker.wait(40)
