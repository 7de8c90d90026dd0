import json

from data_builders.recipe1m.spool import Spool


def test_records_come_back_in_order_and_the_files_go(tmp_path):
    folder = tmp_path / "spool"
    spool = Spool(folder)
    records = []
    for n in range(20):
        record, ids, files = (
            {"id": str(n), "words": list(range(n)), "title": "é\n"},
            ["é.jpg"] * (n % 3),
            [bytes([n]) * n] * (n % 3),
        )
        spool.add("train" if n % 2 else "val", json.dumps(record).encode(), list(zip(ids, files, strict=True)))
        records.append(({**record, "image_ids": ids}, files))
    spool.close()
    assert list(spool.drain("train")) == records[1::2]
    assert [path.name for path in folder.iterdir()] == ["val"]
    assert list(spool.drain("val")) == records[0::2]
    assert not folder.exists()
