"""Records parsed without TensorFlow match those that TensorFlow wrote."""

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from adamine_jax.input.tfrecords import DecodeError, parse_example

LISTS = {
    "bytes_list": st.lists(st.binary(max_size=40)),
    "int64_list": st.lists(st.integers(-(2**63), 2**63 - 1)),
    "float_list": st.lists(st.floats(width=32, allow_nan=False)),
}
KINDS = [values.map(lambda value, kind=kind: (kind, value)) for kind, values in LISTS.items()]


@given(st.dictionaries(st.text(max_size=8), st.one_of(KINDS), max_size=5))
def test_parsed_features_match_those_written_by_tensorflow(written):
    example = tf.train.Example()
    for name, (kind, values) in written.items():
        getattr(example.features.feature[name], kind).value.extend(values)
    features = parse_example(example.SerializeToString())
    assert set(features) == set(written)
    for name, (kind, values) in written.items():
        for other in LISTS:
            assert list(getattr(features[name], other).value) == (values if other == kind else [])
    assert not features["not there"].bytes_list.value


@pytest.mark.parametrize("payload", [b"\xff" * 30, b"\x0a\x05ab", "no record".encode("utf-16")])
def test_a_payload_that_is_not_an_example_is_rejected(payload):
    with pytest.raises(DecodeError):
        parse_example(payload)
