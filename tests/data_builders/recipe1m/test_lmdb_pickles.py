import collections
import io
import os
import pickle

import numpy as np
import pytest
from PIL import Image

from adamine_jax.base.errors import UserError
from adamine_jax.recipes import decoding
from data_builders.recipe1m.legacy.unpickling import array
from data_builders.recipe1m.lmdb.pickles import integer, integers, loads, picture
from tests.data_builders.recipe1m.torch_pickles import FORMS, Call, Name, New, Outside, dumps, save_file, saved, tensor
from tests.golden import make_torch_pickles

PROTOCOLS = (2, 3, 4, 5)


def test_tensors_that_pytorch_pickled_are_read():
    golden = np.load(make_torch_pickles.GOLDEN)
    cases = [name for name in golden if name.count("/") == 2]
    assert len(cases) == len(make_torch_pickles.KINDS) * 5 * 4
    for name in cases:
        expected = golden[name.rpartition("/")[0]]
        found = array(loads(golden[name].tobytes()), 1000)
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape), name
        np.testing.assert_array_equal(found, expected, err_msg=name)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("form", FORMS)
def test_tensors_of_every_age_are_read(form, protocol):
    for dtype in ("<f4", "<f8", "<f2", "<i8", "<i4", "<i2", "i1", "u1"):
        values = np.arange(6).reshape(2, 3).astype(dtype)
        found = array(loads(dumps({"t": tensor(values, form)}, protocol))["t"], 1000)
        assert found.dtype == values.dtype
        np.testing.assert_array_equal(found, values)


class Spy(pickle.Unpickler):
    """Answers a call by its arguments, and a reference by what it refers to."""

    def find_class(self, module, name):
        return lambda *arguments: (name, *arguments)

    def persistent_load(self, identity):
        return [identity[0], identity[1](), "key", *identity[3:]]


def test_our_file_of_torch_save_is_pytorchs():
    golden = np.load(make_torch_pickles.GOLDEN)["float32/whole/5"].tobytes()
    _, (_, saved_by_torch), *_ = Spy(io.BytesIO(golden)).load()
    parts = []
    for data in (saved_by_torch, save_file(np.arange(12, dtype="<f4"))):
        file = io.BytesIO(data)
        magic, version, system, value, keys = (Spy(file).load() for _ in range(5))
        parts.append((magic, version, system["little_endian"], value, len(keys), file.read()))
    assert parts[0] == parts[1]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "RGBA", "CMYK", "LA", "I", "F", "YCbCr"])
def test_images_are_read(mode, protocol):
    noise = np.random.default_rng(0).integers(0, 255, (9, 7, 3), np.uint8)
    image = Image.fromarray(noise).convert(mode)
    found = picture(pickle.dumps(image, protocol))
    assert (found.mode, found.size) == (image.mode, (7, 9))
    assert found.tobytes() == image.tobytes()
    assert found.convert("RGB").tobytes() == image.convert("RGB").tobytes()


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "GIF", "BMP"])
def test_images_that_still_know_their_file_are_read(file_format):
    file = io.BytesIO()
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)).save(file, file_format)
    image = Image.open(file)
    found = picture(pickle.dumps(image, 4))
    assert found.convert("RGB").tobytes() == image.convert("RGB").tobytes()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("value", "number"),
    [(7, 7), (7.0, 7), (np.int64(7), 7), (np.uint16(7), 7), (np.array([7]), 7), (np.float32(7), 7), (2**40, 2**40)],
)
def test_whole_numbers_are_read_in_every_form(value, number, protocol):
    assert integer(loads(pickle.dumps(value, protocol))) == number
    for form in FORMS:
        assert integer(loads(dumps(tensor(np.array([7]), form), protocol))) == 7


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_lists_of_numbers_and_texts_are_read(protocol):
    for value in ([5, 3, 1, 0], (5, 3, 1, 0), np.array([5, 3, 1, 0], np.uint16), [np.int64(5), 3.0, np.uint8(1), 0]):
        assert integers(loads(pickle.dumps(value, protocol))) == [5, 3, 1, 0]
    for value in ("crème", np.str_("crème"), np.array(["crème", "x"])[0]):
        assert loads(pickle.dumps(value, protocol)) == "crème"
    for value in (b"0123456789", np.bytes_(b"0123456789"), np.array([b"0123456789ab", b"0123456789"])[1]):
        assert loads(pickle.dumps(value, protocol)) == b"0123456789"


@pytest.mark.parametrize("value", ["7", 7.5, None, [1, 2], [], np.array([1, 2]), float("nan"), {}, np.array([[1, 2]])])
def test_what_is_no_whole_number_is_refused(value):
    with pytest.raises(ValueError, match=r"."):
        integer(loads(pickle.dumps(value)))


@pytest.mark.parametrize("value", [7, "12", {1: 2}, None, [1, "2"], [[1]], [1, 2.5], [float("inf")], np.array([1.5])])
def test_what_are_no_whole_numbers_is_refused(value):
    with pytest.raises(ValueError, match=r"."):
        integers(loads(pickle.dumps(value)))


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("place", ["alone", "in a list", "as a storage", "in a file of torch.save", "in an image"])
def test_a_hostile_pickle_is_refused_by_name_and_nothing_runs(tmp_path, protocol, place):
    trace = tmp_path / "trace"
    attack = Call("os", "system", f"touch {trace}")
    state = [{"exif": attack}, "RGB", (1, 1), None, b"abc"]
    inner = save_file(np.zeros(1, "<f4"), value=attack)
    value = {
        "alone": attack,
        "in a list": [1, attack],
        "as a storage": Call("torch._utils", "_rebuild_tensor", attack, 0, (1,), (1,)),
        "in a file of torch.save": Call("torch.storage", "_load_from_bytes", inner),
        "in an image": New("PIL.Image", "Image", state),
    }[place]
    with pytest.raises(UserError, match=r"the pickle calls (os|posix)\.system, which is refused; none of its code"):
        loads(dumps(value, protocol))
    assert not trace.exists()
    pickle.loads(dumps(Call("os", "system", f"touch {trace}"), protocol))
    assert trace.exists()  # the attack is a real one


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("torch", "load"),
        ("torch", "Tensor"),
        ("torch.storage", "UntypedStorage"),
        ("torch._utils", "_rebuild_parameter"),
        ("torch.cuda", "FloatTensor"),
        ("PIL.Image", "open"),
        ("PIL.ImageFile", "ImageFile"),
        ("PIL.JpegImagePlugin.os", "ImageFile"),
        ("PIL.JpegImagePlugin", "JpegImageFile.load"),
        ("PIL.JpegImagePlugin", "jpeg_factory"),
        ("data_builders.recipe1m.lmdb.pickles", "Picture"),
        ("numpy", "load"),
        ("copyreg", "_reconstructor"),
        (os.name, "x"),
    ],
)
def test_other_names_are_refused(module, name):
    with pytest.raises(UserError, match=rf"calls {module}\.{name}, which is refused"):
        loads(dumps(Name(module, name), 4))


FLAT = np.arange(4, dtype="<f4")
FLOATS = Call("torch", "FloatStorage", [1.0, 2.0])


def place(storage, offset, sizes, strides):
    return Call("torch._utils", "_rebuild_tensor_v2", storage, offset, sizes, strides, False, {})


@pytest.mark.parametrize(
    "value",
    [
        place(FLOATS, 0, (3,), (1,)),
        place(FLOATS, 1, (2,), (1,)),
        place(FLOATS, 0, (2,), (0, 1)),
        place(FLOATS, -1, (1,), (1,)),
        place(FLOATS, 0, (1 << 40,), (0,)),
        place(FLOATS, 0, ("2",), (1,)),
        place(FLOATS, 0, 2, 1),
        place([1.0, 2.0], 0, (2,), (1,)),
        place(Name("torch", "FloatStorage"), 0, (2,), (1,)),
        place(New("torch", "FloatStorage", (None, {"values": [1.0]})), 0, (1,), (1,)),
        Call("torch", "FloatStorage", 1 << 40),
        Call("torch", "FloatTensor", ["x"]),
        Call("torch", "FloatTensor", [[1.0], [1.0, 2.0]]),
        New("torch", "FloatTensor", (1, 2)),
        saved(FLAT, magic=5),
        saved(FLAT, version=1002),
        saved(FLAT, little=False),
        saved(FLAT, size=3),
        saved(FLAT, size=1 << 60),
        saved(FLAT, stored=5),
        saved(FLAT, stored=-4),
        saved(FLAT, more=b"\0"),
        saved(FLAT, keys=["95"]),
        saved(FLAT, keys=[]),
        saved(FLAT, view=(("94", 0, 2),)),
        saved(FLAT, value=[1]),
        saved(FLAT, kind=[1]),
        Call("torch.storage", "_load_from_bytes", b""),
        Call("torch.storage", "_load_from_bytes", "text"),
        Outside(("storage", Name("torch", "FloatStorage"), "0", "cpu", 4)),
        pickle.PickleBuffer,
    ],
)
def test_what_is_no_tensor_is_refused(value):
    with pytest.raises(UserError) as error:
        loads(dumps(value, 4))
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["FloatTensor", "FloatStorage", "Image"])
@pytest.mark.parametrize("state", [{"numbers": 1}, (None, {"numbers": 1}), [1, 2, 3, 4, 5], {"__setstate__": len}])
def test_a_stand_in_cannot_be_changed(name, state):
    of = Name("PIL.Image" if name == "Image" else "torch", name)
    built = dumps(of, 4)[:-1] + dumps(state, 4)[2:-1] + pickle.BUILD + pickle.STOP
    with pytest.raises(UserError, match=r"the pickle cannot be read|is refused"):
        loads(built)
    found = array(loads(dumps(tensor(FLAT, "state"), 4)), 1000)
    np.testing.assert_array_equal(found, FLAT)
    assert picture(pickle.dumps(Image.new("RGB", (1, 2), (1, 2, 3)))).getpixel((0, 1)) == (1, 2, 3)


def image(*state):
    return New("PIL.Image", "Image", list(state))


@pytest.mark.parametrize(
    "value",
    [
        [1, 2],
        "text",
        image({}, "RGB", (2, 2), None, b"x" * 11),
        image({}, "RGB", (2, 2), None, 12),
        image({}, "RGB", (2, 2), None, "x" * 12),
        image({}, "RGB", (0, 2), None, b""),
        image({}, "RGB", (-2, -2), None, b"x" * 12),
        image({}, "RGB", ([0], 1 << 40), None, b"x" * 12),
        image({}, "RGB", (1 << 20, 1 << 20), None, b"x" * 12),
        image({}, "RGB", (4,), None, b"x" * 12),
        image({}, "BOMB", (2, 2), None, b"x" * 12),
        image({}, None, (2, 2), None, b"x" * 12),
        image({}, "P", (2, 2), ["x"], b"x" * 4),
        image({}, "RGB"),
        image(),
        New("PIL.Image", "Image", 5),
        Call("PIL.Image", "Image"),
        Call("PIL.Image", "Image", 1, 2),
    ],
)
def test_what_is_no_image_is_refused(value):
    with pytest.raises(UserError) as error:
        picture(dumps(value, 4))
    assert len(str(error.value).splitlines()) == 1


def test_an_image_that_is_too_large_is_refused_before_it_is_made(monkeypatch):
    whole_image = pickle.dumps(Image.new("L", (8, 9)))
    assert picture(whole_image).size == (8, 9)
    monkeypatch.setattr(decoding, "MAX_PIXELS", 71)
    with pytest.raises(UserError, match="8 x 9 pixels do not match 72 bytes"):
        picture(whole_image)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_pickle_that_is_cut_off_anywhere_is_refused(protocol):
    for value in (tensor(FLAT, "bytes"), tensor(FLAT, "state"), collections.OrderedDict(a=np.arange(3))):
        data = dumps(value, protocol)
        for end in range(len(data)):
            with pytest.raises(UserError):
                loads(data[:end])


def test_a_file_of_torch_save_that_is_cut_off_anywhere_is_refused():
    data = save_file(FLAT)
    for end in range(len(data)):
        with pytest.raises(UserError):
            loads(dumps(Call("torch.storage", "_load_from_bytes", data[:end])))


def test_damage_anywhere_is_no_other_error():
    datas = [
        dumps(tensor(FLAT, "bytes"), 3),
        pickle.dumps(Image.new("RGB", (3, 2)), 4),
        dumps(tensor(FLAT, "state"), 2),
    ]
    refused = 0
    for data in datas:
        for position in range(len(data)):
            for byte in (0x00, 0x2E, 0x52, 0xFF):
                try:
                    loads(data[:position] + bytes([byte]) + data[position + 1 :])
                except UserError:
                    refused += 1
    assert refused > sum(map(len, datas))
