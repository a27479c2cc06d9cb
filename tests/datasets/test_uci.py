"""fetch_adult and fetch_bank: on the real files, and without a network."""

import gzip
import http.server
import shutil
import sys
import threading
import zipfile
from functools import partial

import pytest

from skmeta.datasets import fetch_adult, fetch_bank, split_tasks, uci


def unpack(packed, path, change=lambda content: content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(change(gzip.decompress(packed.read_bytes())))


def test_adult(data_home):
    adult = fetch_adult(data_home=data_home)
    assert adult.data.shape == (48_842, 14) and adult.feature_names == list(adult.data)
    assert adult.target.value_counts().to_dict() == {"<=50K": 37_155, ">50K": 11_687}
    assert adult.sensitive_features["sex"].value_counts().to_dict() == {
        "Male": 32_650,
        "Female": 16_192,
    }
    assert list(adult.sensitive_features) == ["sex", "race"]
    assert not adult.frame.isna().any().any() and (adult.data["workclass"] == "?").sum() == 2_799
    assert adult.data["age"].iloc[[0, 32_561]].tolist() == [39, 25]  # both files, in order
    assert "48,842" in adult.DESCR and list(adult.frame)[-1] == "income"


def test_bank(data_home):
    bank = fetch_bank(data_home=data_home)
    assert bank.data.shape == (45_211, 16)
    assert bank.target.value_counts().to_dict() == {"no": 39_922, "yes": 5_289}
    young = bank.sensitive_features["age"] == "<25"
    assert young.sum() == (bank.data["age"] < 25).sum() > 500
    assert set(bank.sensitive_features["marital"]) == {"divorced", "married", "single"}


def test_tasks_of_real_data(data_home):
    train, reference, test = split_tasks(fetch_adult(data_home=data_home), ["sex", "race"])
    assert [task.n_samples for task in (train, reference, test)] == [19_537, 14_652, 14_653]
    assert test.n_groups == 10 and "Female, Black" in test.groups
    train, _, _ = split_tasks(fetch_bank(data_home=data_home), "age", drop_sensitive=True)
    assert train.n_features == 15 and train.groups.tolist() == ["<25", ">=25"]


def test_plain_files_blank_lines_and_all_the_places(data_home, tmp_path, monkeypatch):
    for name in ("adult.data", "adult.test"):
        packed = data_home / "adult" / f"{name}.gz"
        unpack(packed, tmp_path / name, lambda content: content.rstrip() + b"\r\n\n\n")
    expected = fetch_adult(data_home=data_home).frame
    assert fetch_adult(data_home=tmp_path).frame.equals(expected)
    assert fetch_adult(data_home=data_home / "adult").frame.equals(expected)
    monkeypatch.setenv("SKMETA_DATA_HOME", str(tmp_path))
    assert fetch_adult(download_if_missing=False).frame.equals(expected)


def test_tampered_and_truncated_files(data_home, tmp_path):
    packed = data_home / "bank" / "bank-full.csv.gz"
    unpack(packed, tmp_path / "bank" / "bank-full.csv", lambda c: c.replace(b"58;", b"59;", 1))
    with pytest.raises(ValueError, match="fetch_bank needs the original file .*Got .* from .*bank"):
        fetch_bank(data_home=tmp_path)
    (tmp_path / "bank" / "bank-full.csv").unlink()
    (tmp_path / "bank" / "bank-full.csv.gz").write_bytes(packed.read_bytes()[:1000])
    with pytest.raises(OSError, match="fetch_bank cannot read .*bank-full.csv.gz: .*Replace"):
        fetch_bank(data_home=tmp_path)


def test_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="needs the original file adult.data.*data_home"):
        fetch_adult(data_home=tmp_path, download_if_missing=False)


def test_offline(tmp_path, monkeypatch):
    monkeypatch.setattr(uci, "_ARCHIVE", "http://127.0.0.1:9")  # the discard port: refused
    with pytest.raises(OSError, match="fetch_bank could not download .*bank.zip to .*Put the orig"):
        fetch_bank(data_home=tmp_path)
    assert not list(tmp_path.rglob("*.csv*"))


def test_without_pooch(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ImportError, match=r"needs pooch to download .*skmeta\[data\]"):
        fetch_adult(data_home=tmp_path)


@pytest.fixture
def archive(data_home, tmp_path, monkeypatch):
    """Serve the real files from this machine, as the archive does."""
    root = tmp_path / "archive"
    for name in ("adult.data", "adult.test"):
        unpack(data_home / "adult" / f"{name}.gz", root / "adult" / name)
    unpack(data_home / "bank" / "bank-full.csv.gz", tmp_path / "bank-full.csv")
    (root / "00222").mkdir()
    with zipfile.ZipFile(root / "00222" / "bank.zip", "w") as file:
        file.write(tmp_path / "bank-full.csv", "bank-full.csv")
        file.writestr("bank-names.txt", "names")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Quiet, directory=root)
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(uci, "_ARCHIVE", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield root
        server.shutdown()


def test_downloads_once(archive, tmp_path):
    home = tmp_path / "home"
    assert len(fetch_adult(data_home=home).data) == 48_842
    assert len(fetch_bank(data_home=home).data) == 45_211
    shutil.rmtree(archive)
    assert len(fetch_adult(data_home=home).data) == 48_842
    assert len(fetch_bank(data_home=home, download_if_missing=False).data) == 45_211
