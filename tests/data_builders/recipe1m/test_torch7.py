import os
import struct

import numpy as np
import pytest

from adamine_jax.base.errors import UserError
from data_builders.recipe1m.sentence_vectors import torch7
from tests.data_builders.recipe1m import t7
from tests.data_builders.recipe1m.t7 import Raw, Storage, Tensor, dumps


@pytest.fixture
def path(tmp_path):
    return tmp_path / "encs.t7"


def read(path, data):
    path.write_bytes(data)
    return torch7.load(path)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (2.5, 2.5),
        (-3, -3.0),
        (True, True),
        (False, False),
        (b"", b""),
        (b"caf\xc3\xa9\x00\xff", b"caf\xc3\xa9\x00\xff"),
        ([], {}),
        ([b"a", None, 7], {1: b"a", 2: None, 3: 7.0}),
        ({b"x": {b"y": [1.0]}, 2: True, 0.5: b"half"}, {b"x": {b"y": {1: 1.0}}, 2: True, 0.5: b"half"}),
    ],
)
def test_plain_values_come_back(path, value, expected):
    assert read(path, dumps(value)) == expected


def test_a_file_written_by_hand_is_read(path):
    # {[1] = torch.ShortTensor{{1, 2, 3}}}, byte by byte.
    data = bytes.fromhex(
        "03000000 01000000 01000000"  # a table, number 1, with one entry
        "01000000 000000000000f03f"  # the key: a number, 1.0
        "04000000 02000000"  # an object of Torch, number 2
        "03000000 562031 11000000 746f7263682e53686f727454656e736f72"  # V 1, torch.ShortTensor
        "02000000"  # of two dimensions
        "0100000000000000 0300000000000000 0300000000000000 0100000000000000"  # sizes 1, 3 and strides 3, 1
        "0100000000000000"  # from the first number on
        "04000000 03000000 03000000 562031 12000000 746f7263682e53686f727453746f72616765"  # V 1, torch.ShortStorage
        "0300000000000000 0100 0200 0300"
    )
    assert dumps([t7.tensor(np.array([[1, 2, 3]], "<i2"))]) == data
    np.testing.assert_array_equal(read(path, data)[1], [[1, 2, 3]])


@pytest.mark.parametrize("kind", ["u1", "i1", "i2", "i4", "i8", "f4", "f8"])
def test_tensors_of_every_kind_come_back(path, kind):
    values = np.arange(24).reshape(2, 3, 4).astype(f"<{kind}") - (kind != "u1") * 5
    value = read(path, dumps({b"t": t7.tensor(values), b"s": Storage(values.reshape(-1))}))
    assert value[b"t"].dtype == value[b"s"].dtype == values.dtype
    np.testing.assert_array_equal(value[b"t"], values)
    np.testing.assert_array_equal(value[b"s"], values.reshape(-1))


def test_offsets_strides_and_shared_storages_are_those_of_the_tensor(path):
    numbers = np.arange(100, dtype="<f4")
    storage = Storage(numbers)
    whole = Tensor(storage, [4, 25], [25, 1])
    transposed = Tensor(storage, [25, 4], [1, 25])
    part = Tensor(storage, [3, 2], [10, 4], first=8)
    value = read(path, dumps([whole, transposed, part, whole, storage]))
    np.testing.assert_array_equal(value[1], numbers.reshape(4, 25))
    np.testing.assert_array_equal(value[2], numbers.reshape(4, 25).T)
    np.testing.assert_array_equal(value[3], [[7, 11], [17, 21], [27, 31]])
    assert value[4] is value[1]
    assert np.shares_memory(value[3], value[5])
    assert not value[1].flags.writeable
    assert len(path.read_bytes().split(b"torch.FloatStorage")) == 2


def test_empty_tensors_are_empty(path):
    nothing = Tensor(None, [], [], kind="Float")
    flat = Tensor(Storage(np.empty(0, "<f4")), [0, 1024], [1024, 1])
    value = read(path, dumps([nothing, flat]))
    assert (value[1].shape, value[1].dtype) == ((0,), np.float32)
    assert value[2].shape == (0, 1024)


def test_a_table_may_contain_itself(path):
    table = {b"me": None}
    table[b"me"] = table
    value = read(path, dumps(table))
    assert value[b"me"] is value


def test_numbers_are_mapped_and_not_read(path):
    rows = 1 << 21
    head = dumps(Tensor(Storage(np.empty(0, "<f4")), [rows, 1024], [1024, 1]))
    path.write_bytes(head[:-8] + struct.pack("<q", rows * 1024))
    os.truncate(path, len(head) + rows * 4096)  # 8 GiB, none of them on the disk
    value = torch7.load(path)
    assert value.shape == (rows, 1024)
    assert not value[rows // 2 : rows // 2 + 10].any()


def test_files_from_before_there_was_a_version_are_read(path):
    data = dumps(Storage(np.arange(3, dtype="u1"))).replace(struct.pack("<i", 3) + b"V 1", b"")
    np.testing.assert_array_equal(read(path, data), [0, 1, 2])


def every_kind():
    storage = Storage(np.arange(6, dtype="<f4"))
    return {
        b"encs": Tensor(storage, [3, 2], [2, 1]),
        b"again": Tensor(storage, [2], [3], first=2),
        b"ids": [b"0123456789", b"abcdefabcd"],
        b"rlens": t7.tensor(np.array([1, 2], "<i8")),
        b"opts": {b"seed": 4.5, b"gpu": True, b"none": None, 3: b"x"},
    }


def test_a_file_that_is_cut_off_anywhere_is_refused(path):
    data = dumps(every_kind())
    read(path, data)
    for end in range(len(data)):
        with pytest.raises(UserError, match=r"encs\.t7"):
            read(path, data[:end])


def test_damage_anywhere_is_no_other_error(path):
    data, refused = dumps(every_kind()), []
    for position in range(len(data)):
        for byte in (0x00, 0x7F, 0xFF):
            try:
                read(path, data[:position] + bytes([byte]) + data[position + 1 :])
            except UserError as error:
                refused.append(str(error))
    assert all(message.startswith(f"{path}, byte ") for message in refused)
    assert len(refused) > len(data)


def long(number):
    return struct.pack("<q", number)


def torch_object(name, rest):
    return struct.pack("<iii", 4, 9, 3) + b"V 1" + struct.pack("<i", len(name)) + name + rest


HUGE_STORAGE = torch_object(b"torch.DoubleStorage", long(1 << 60))
LOOSE = torch_object(b"torch.FloatTensor", struct.pack("<i", 1) + long(1) + long(1) + long(1))
NESTED = b"".join(struct.pack("<iii", 3, n, 1) + struct.pack("<id", 1, 1.0) for n in range(1, 5000))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            struct.pack("<i", 2) + struct.pack("<i", 2**31 - 1) + b"abc",
            "byte 8: truncated: expected 2,147,483,647 more bytes",
        ),
        (struct.pack("<i", 2) + struct.pack("<i", -1), "a length of -1"),
        (HUGE_STORAGE, "truncated: expected 9,223,372,036,854,775,808 more bytes"),
        (struct.pack("<iii", 3, 1, 2**31 - 1), "truncated"),
        (torch_object(b"torch.FloatTensor", struct.pack("<i", 2**31 - 1)), "truncated"),
        (struct.pack("<i", 6), "byte 0: a Lua function, which is refused"),
        (dumps([Raw(struct.pack("<iii", 8, 5, 3) + b"\x1bLJ")]), "byte 24: a Lua function, which is refused"),
        (struct.pack("<i", 7), "a Lua function"),
        (torch_object(b"nn.Linear", dumps({})), "byte 0: an object of class nn.Linear, which is refused"),
        (torch_object(b"torch.CudaTensor", b""), "an object of class torch.CudaTensor, which is refused"),
        (torch_object(b"tds.Hash", b""), "an object of class tds.Hash, which is refused"),
        (torch_object(b"\x1b[31m\xff" + b"x" * 500, b""), "an object of class"),
        (b"4\n1\n3\nV 1\n17\n", "which Torch7 does not have; is this a binary .t7 file"),
        (LOOSE + dumps(1.5), "the storage of a tensor is of another type"),
        (LOOSE + dumps([]), "the storage of a tensor is of another type"),
        (LOOSE + dumps(t7.tensor(np.zeros(1, "<f4"))), "storage of a torch.FloatTensor is a torch.FloatTensor"),
        (LOOSE + dumps(Storage(np.zeros(1, "<f8"))), "storage of a torch.FloatTensor is a torch.DoubleStorage"),
        (dumps({True: 1.0}), "byte 12: a table key"),
        (dumps({None: 1.0}), "a table key"),
        (NESTED, "nested more than 100 levels deep"),
    ],
)
def test_unreadable_data_is_reported_with_its_byte(path, data, message):
    with pytest.raises(UserError, match=r"encs\.t7, byte \d+: ") as error:
        read(path, data)
    assert message in str(error.value)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    ("sizes", "strides", "first", "message"),
    [
        ([3, 2], [2, 1], 2, "3×2 numbers does not fit its storage of 6"),
        ([7], [1], 1, "7 numbers does not fit"),
        ([2], [6], 1, "2 numbers does not fit"),
        ([7], [0], 1, "7 numbers does not fit"),  # one number, again and again
        ([2**40, 2**40], [0, 0], 1, "does not fit"),
        ([2**62, 4], [2**62, 1], 1, "does not fit"),
        ([1], [1], 7, "does not fit"),
        ([1], [1], 0, "offset -1"),
        ([-1], [1], 1, r"sizes \[-1\]"),
        ([2], [-1], 2, r"strides \[-1\]"),
        ([1] * 80, [1] * 80, 1, "."),
        ([0, 2**62], [1, 1], 1, "."),
    ],
)
def test_a_tensor_that_is_not_inside_its_storage_is_refused(path, sizes, strides, first, message):
    with pytest.raises(UserError, match=rf"encs\.t7, byte 0: .*{message}"):
        read(path, dumps(Tensor(Storage(np.arange(6, dtype="<f4")), sizes, strides, first)))


def test_missing_and_empty_files_are_reported(path, tmp_path):
    with pytest.raises(UserError, match=r"encs\.t7: cannot be opened \(No such file"):
        torch7.load(path)
    with pytest.raises(UserError, match=r"encs\.t7 is empty"):
        read(path, b"")
    with pytest.raises(UserError, match=r"cannot be opened"):
        torch7.load(tmp_path)
