"""Damaged, oversized, invalid and hostile requests are refused with one sentence and do no harm."""

import contextlib
import io
import os
import shutil
import sqlite3
import struct
import tempfile
import zlib
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from fastapi import HTTPException
from PIL import Image

from adamine_jax.base.errors import UserError
from adamine_jax.gallery.folder.store import Gallery
from adamine_jax.gallery.items import Item
from adamine_jax.serving.item_responses import ItemResponses
from tests.servers import serving
from tests.small_collection import photo_file
from tests.tiny_gallery import photo_of, write_gallery

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


def bomb(side):
    """Returns a PNG of a few kilobytes that decodes to side² pixels."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(b"\0" * (side // 8 + 1)) for _ in range(side)) + packer.flush()
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def post(api, content, name="photo.jpg", kind="image/jpeg"):
    return api.post("/search/photo", files={"photo": (name, content, kind)}, params={"top": 1})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an image"),
        (b"GIF89a<script>alert(1)</script>", "not an image"),
        (SVG, "not an image"),
        (b"<html><b>x</b>", "not an image"),
        (b"%PDF-1.4", "not an image"),
        (b"PK\x03\x04" + bytes(100), "not an image"),
        (photo_file(3)[:200], "truncated or damaged image"),
        (bomb(9_000), "9000 x 9000 pixels exceed the limit"),
        (bomb(40_000), "too many pixels"),
    ],
)
def test_files_that_are_not_photos_are_refused(api, content, message):
    answer = post(api, content)
    assert answer.status_code == 422
    assert message in answer.json()["error"]
    remedy = (
        "Make it smaller."
        if "pixels" in message
        else "Use an intact JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC file."
    )
    assert answer.json()["error"].endswith(f". {remedy}")


@pytest.mark.parametrize(
    "name", ["../../../etc/passwd", "a\x00b.jpg", '"><img src=x onerror=alert(1)>', "x" * 5000, ""]
)
def test_file_names_are_ignored(api, name):
    assert post(api, photo_file(7), name).status_code in (200, 400, 422)  # some are invalid names


def test_a_photo_followed_by_html_is_a_photo(api):
    polyglot = photo_file(7) + b"<html><script>alert(1)</script>"
    answer = post(api, polyglot, "a.html", "text/html")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"


def test_large_uploads_are_refused_without_being_kept(api):
    process = psutil.Process()
    before = process.memory_info().rss

    def content():
        yield b'--x\r\ncontent-disposition: form-data; name="photo"; filename="a"\r\n\r\n'
        for _ in range(100):
            yield bytes(1_000_000)

    head = {"content-type": "multipart/form-data; boundary=x"}
    for _ in range(2):
        answer = api.post("/search/photo", content=content(), headers=head)
        assert answer.status_code == 413
        assert answer.json()["error"].startswith("Requests are limited to 16 MB")
    assert process.memory_info().rss - before < 100e6
    answer = api.post(
        "/search/recipe", content=b'{"title": "' + bytes(5_000_000), headers={"content-type": "application/json"}
    )
    assert answer.status_code == 413
    assert api.get("/health").status_code == 200


def test_nothing_is_written_to_the_disk(api, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    file = io.BytesIO()
    Image.effect_noise((2000, 2000), 90).convert("RGB").save(file, "PNG")
    assert len(file.getvalue()) > 5_000_000  # Starlette's default parser would write it to a file
    assert post(api, file.getvalue()).status_code == 200


@pytest.mark.parametrize(
    ("kind", "content", "status"),
    [
        ("application/json", b"{}", 415),
        ("multipart/form-data", b"x", 400),
        ("multipart/form-data; boundary=x", b"no parts", 400),
        ("multipart/form-data; boundary=x", b"", 422),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\ncontent-disposition: form-data; name="photo"\r\n\r\ntext\r\n--x--',
            422,
        ),
    ],
)
def test_forms_without_a_photo(api, kind, content, status):
    answer = api.post("/search/photo", content=content, headers={"content-type": kind})
    assert answer.status_code == status
    assert answer.json()["error"].endswith(".")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"title": 1e999}', b"NaN", b'"' + b"a" * 1000]
)
def test_invalid_json_is_refused(api, content):
    answer = api.post("/search/recipe", content=content, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.json()["error"]


def test_invalid_requests_are_explained(api):
    def error(**request):
        return api.post("/search/recipe", **request).json()["error"]

    is_json = {"content-type": "application/json"}
    assert error(content=b'{"title": ', headers=is_json) == "The body is not valid JSON at character 10."
    assert (
        error(content=b'{"title": "Soup"}') == "Send one JSON object, with the header content-type: application/json."
    )
    assert error(json={"topp": 3}) == "topp: unknown field."


@pytest.mark.parametrize(
    "path", ["/../app.py", "/%2e%2e/app.py", "/..%2fapp.py", "//etc/passwd", "/photos/00000000.jpg", "/gallery.json"]
)
def test_only_the_page_and_the_photos_are_served(address, path):
    assert httpx.get(address + path).status_code == 404


def test_security_headers(address, api):
    for answer in (httpx.get(address), api.get("/gallery"), api.get("/nothing"), post(api, b"")):
        assert answer.headers["content-security-policy"] == (
            "default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'; "
            "frame-ancestors 'none'"
        )
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
    other = {"origin": "https://example.org"}
    assert "access-control-allow-origin" not in api.get("/gallery", headers=other).headers


def test_no_redirect_contains_the_host_header(api):
    answer = api.get("/gallery/", headers={"host": "evil.example"}, follow_redirects=False)
    assert answer.status_code == 404
    assert "evil.example" not in answer.text + str(answer.headers)


def test_an_id_with_a_trailing_nul_is_not_an_alias(api, gallery):
    assert api.get("/item", params={"id": gallery.ids[0]}).status_code == 200
    assert api.get("/item", params={"id": f"{gallery.ids[0]}\0"}).status_code == 404


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "localhost.evil.example", ""])
def test_only_allowed_hosts_are_answered(model, gallery, host):
    with serving(model, gallery, hosts=["localhost", "[::1]"]) as (address, _, _):
        answer = httpx.get(f"{address}/api/v1/health", headers={"host": host})
        assert answer.status_code == 400
        assert "host name" in answer.json()["error"]
        for name in ("localhost", "LOCALHOST:8000", "[::1]:80"):
            assert httpx.get(f"{address}/api/v1/health", headers={"host": name}).status_code == 200


def test_named_origins_may_use_the_api(model, gallery):
    with serving(model, gallery, origins=["https://example.org"]) as (address, _, _):
        for origin, allowed in (("https://example.org", True), ("https://example.com", False)):
            answer = httpx.get(f"{address}/api/v1/gallery", headers={"origin": origin})
            assert ("access-control-allow-origin" in answer.headers) == allowed


def test_missing_photos_and_photos_outside_the_gallery(folder, tmp_path):
    """The items of a gallery name files: those outside the gallery are not served, missing ones are reported."""
    folder = shutil.copytree(folder, tmp_path / "g")
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    for row, photo in enumerate(("../secret.jpg", str(tmp_path / "secret.jpg"), "photos/x.jpg", None)):
        change(folder, row, photo=photo)
    items = ItemResponses(Gallery(folder))
    for row, message in ((0, "is missing"), (1, "is missing"), (2, "is missing"), (3, "no photo")):
        with pytest.raises(HTTPException, match=f"404: .*{message}"):
            items.photo(row, "small")


def change(folder, row, /, **fields):
    """Changes columns of an item of a gallery."""
    with contextlib.closing(sqlite3.connect(folder / "gallery.sqlite", isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER IF EXISTS words_delete")
        for name, value in fields.items():
            connection.execute(f'UPDATE items SET "{name}" = ? WHERE row = ?', (value, row))


def tiny_items(folder, **fields):
    """Writes a gallery with an item and changes columns of it."""
    item = Item("0", "Soup", ingredients=("salt",), instructions=("Stir.",), photo=photo_of(0))
    write_gallery(folder, [item], np.eye(1, 4), np.eye(1, 4))
    change(folder, 0, **fields)
    return Gallery(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"title": b"x"},
        {"ingredients": "[1, 2]"},
        {"ingredients": '"salt"'},
        {"instructions": "["},
        {"photo": "a\0.jpg"},
        {"photo": b"a.jpg"},
        {"id": b"0"},
        {"row": 7},
    ],
)
def test_a_damaged_item_is_named_when_the_gallery_is_checked(tmp_path, changes):
    gallery = tiny_items(tmp_path / "g", **changes)
    with pytest.raises(UserError, match=r"row 0: cannot be read|do not belong together") as error:
        gallery.check()
    assert "\n" not in str(error.value)


def fifo(path):
    os.mkfifo(path)


def huge_file(path):
    with open(path, "wb") as file:
        file.truncate(3 * 2**30)


def huge_picture(path):
    path.write_bytes(bomb(9_000))


def many_scans(path):
    file = io.BytesIO()
    Image.new("L", (400, 400)).save(file, "JPEG", progressive=True)
    jpeg = file.getvalue()
    path.write_bytes(jpeg[:-2] + jpeg[jpeg.rindex(b"\xff\xda") : -2] * 10_000 + jpeg[-2:])


@pytest.mark.parametrize("write", [fifo, huge_file, huge_picture, many_scans, Path.mkdir])
def test_a_hostile_photo_of_a_gallery_is_a_404(tmp_path, write):
    gallery = tiny_items(tmp_path / "g", photo="photos/x.jpg")
    write(tmp_path / "g" / "photos" / "x.jpg")
    with pytest.raises(HTTPException, match=r"404: .*missing from the gallery or damaged"):
        ItemResponses(gallery).photo(0, "small")
