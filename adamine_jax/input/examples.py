"""Records as they are stored: `tf.train.Example`, read without TensorFlow, whose import takes seconds.

The messages have the fields of TensorFlow's example.proto and feature.proto, which do not change, for TFRecords hold
them; they are declared anew because those files come with TensorFlow alone.
"""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message

__all__ = ["DecodeError", "features_of"]

_Field = descriptor_pb2.FieldDescriptorProto


def features_of(payload: bytes) -> dict[str, Message]:
    """The features of a record by their names.

    Each is a `Feature`; `bytes_list.value` and `int64_list.value` are its values, empty where they are of another kind.
    A name that is not there gives an empty one.

    Raises:
        DecodeError: it is no `tf.train.Example`.
    """
    return _Example.FromString(payload).features.feature


def _declared() -> type[Message]:
    file = descriptor_pb2.FileDescriptorProto(name="adamine_jax/example.proto", package="adamine_jax", syntax="proto3")

    def message(name: str, *fields: _Field) -> descriptor_pb2.DescriptorProto:
        return file.message_type.add(name=name, field=fields)

    def field(name: str, number: int, kind: str | int, label: int = _Field.LABEL_OPTIONAL, **more) -> _Field:
        if isinstance(kind, str):
            more |= {"type_name": f".adamine_jax.{kind}", "type": _Field.TYPE_MESSAGE}
        else:
            more |= {"type": kind}
        return _Field(name=name, number=number, label=label, **more)

    lists = {"BytesList": _Field.TYPE_BYTES, "FloatList": _Field.TYPE_FLOAT, "Int64List": _Field.TYPE_INT64}
    for name, kind in lists.items():
        message(name, field("value", 1, kind, _Field.LABEL_REPEATED))
    kinds = (("bytes_list", "BytesList"), ("float_list", "FloatList"), ("int64_list", "Int64List"))
    feature = message("Feature", *(field(name, at, kind, oneof_index=0) for at, (name, kind) in enumerate(kinds, 1)))
    feature.oneof_decl.add(name="kind")
    features = message("Features", field("feature", 1, "Features.FeatureEntry", _Field.LABEL_REPEATED))
    entry = features.nested_type.add(
        name="FeatureEntry", field=[field("key", 1, _Field.TYPE_STRING), field("value", 2, "Feature")]
    )
    entry.options.map_entry = True
    message("Example", field("features", 1, "Features"))
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("adamine_jax.Example"))


_Example = _declared()
