"""Photos that a decoder cannot handle end its process, and nothing else."""

import asyncio
import io
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest
from PIL import Image

from adamine_jax.recipes import photos
from adamine_jax.recipes.photos import UnusablePhoto
from adamine_jax.serving import decoders
from adamine_jax.serving.guard import Limits
from tests.servers import serving
from tests.small_collection import photo_file


@pytest.fixture(autouse=True)
def others():
    """Processes of other servers; none of this test may be left at its end."""
    before = processes()
    yield before
    assert processes() == before


@pytest.fixture
def started(others):
    decoder = decoders.Decoders()
    yield decoder
    decoder.close()


@pytest.fixture
def misbehaving(monkeypatch):
    monkeypatch.setattr(decoders, "__name__", "tests.serving.stuck_decoder")
    monkeypatch.setattr(decoders, "SECONDS", 1.0)


def processes():
    return {child.pid for child in psutil.Process().children() if any("decoder" in part for part in child.cmdline())}


def large_photo():
    file = io.BytesIO()
    Image.new("L", (8000, 7000)).save(file, "PNG")
    return file.getvalue()


def reason(decoder, photo):
    with pytest.raises(UnusablePhoto) as error:
        asyncio.run(decoder.stored(photo, 64))
    return error.value.reason


def post(api, photo):
    return httpx.post(f"{api}/search/photo", files={"photo": photo}, timeout=60)


def test_photos_are_converted_as_in_this_process(started):
    for photo in (photo_file(1), photo_file(2), large_photo()):
        assert asyncio.run(started.stored(photo, 64)) == photos.stored(photo, 64)
    for photo in (b"", b"no photo", photo_file(1)[:500]):
        with pytest.raises(UnusablePhoto) as error:
            photos.stored(photo, 64)
        assert reason(started, photo) == error.value.reason


@pytest.mark.parametrize("photo", [b"stuck", b"crash", b"memory"])
def test_a_photo_that_a_decoder_cannot_handle_is_refused_and_others_are_decoded(misbehaving, started, photo):
    async def together():
        many = [photo_file(number) for number in range(8)]
        return await asyncio.gather(
            *[started.stored(each, 64) for each in [photo, *many, photo, *many]], return_exceptions=True
        )

    results = asyncio.run(together())
    refused = [number for number, result in enumerate(results) if isinstance(result, UnusablePhoto)]
    assert refused == [0, 9]
    assert results[1] == photos.stored(photo_file(0), 64)
    assert (
        reason(started, photo)
        == {
            b"stuck": "it cannot be decoded within 1 seconds",
            b"crash": "its decoder failed",
            b"memory": "decoding takes too much memory",
        }[photo]
    )


def test_a_process_that_ended_while_it_was_idle_is_replaced(started, others):
    for pid in processes() - others:
        psutil.Process(pid).kill()
        psutil.wait_procs([psutil.Process(pid)], timeout=10)
    for _ in range(4):
        assert asyncio.run(started.stored(photo_file(1), 64)) == photos.stored(photo_file(1), 64)


def test_the_server_answers_others_while_photos_are_stuck(misbehaving, model, gallery, monkeypatch, others):
    monkeypatch.setattr(decoders, "SECONDS", 600.0)
    with serving(model, gallery, Limits(seconds=3)) as (address, engine, _):
        api = f"{address}/api/v1"
        assert httpx.get(f"{api}/ready").status_code == 200
        stuck = len(processes() - others) - 1  # one is for large photos
        with ThreadPoolExecutor(stuck) as pool:
            answers = pool.map(lambda _: post(api, b"stuck"), range(stuck))
            assert {answer.status_code for answer in answers} == {503}
        assert httpx.post(f"{api}/search/recipe", json={"title": "Soup"}, timeout=60).status_code == 200
        assert engine.running == 0


def test_readiness_notices_photos_that_wait_and_batches_that_do_not_end(misbehaving, model, gallery, monkeypatch):
    monkeypatch.setattr(decoders, "SECONDS", 600.0)
    with serving(model, gallery, Limits(seconds=0)) as (_, engine, _):
        engine.check_progress()

        async def wait():
            task = asyncio.create_task(engine.decoders.stored(b"stuck", 64))
            await asyncio.sleep(0)
            with pytest.raises(Exception, match="503: A query has been waiting"):
                engine.check_progress()
            task.cancel()

        asyncio.run(wait())
        engine.check_progress()
        monkeypatch.setattr(engine._search, "_began", 0.0)
        with pytest.raises(Exception, match="503: A query has been waiting"):
            engine.check_progress()
