from data_builders.recipe1m.spool import Spool


def test_records_come_back_in_order_and_the_files_go(tmp_path):
    folder = tmp_path / "spool"
    spool = Spool(folder)
    records = [({"id": str(n), "words": list(range(n)), "title": "é\n"}, [bytes([n]) * n] * (n % 3)) for n in range(20)]
    for n, record in enumerate(records):
        spool.add("train" if n % 2 else "val", *record)
    spool.close()
    assert list(spool.drain("train")) == records[1::2]
    assert [path.name for path in folder.iterdir()] == ["val"]
    assert list(spool.drain("val")) == records[0::2]
    assert not folder.exists()
