"""fetch_mnist and fetch_cifar10 on the real files, and tasks of images."""

import gzip
import shutil

import numpy as np
import pandas as pd
import pytest
from sklearn.utils import Bunch

from skmeta.datasets import fetch_cifar10, fetch_mnist, split_tasks
from skmeta.datasets.images import _area_shares


@pytest.fixture(scope="module")
def image_home(data_home):
    if not (data_home / "mnist").is_dir() or not (data_home / "cifar10").is_dir():
        pytest.skip(f"no mnist/ and cifar10/ in {data_home}")
    return data_home


def test_mnist(image_home, monkeypatch, tmp_path):
    mnist = fetch_mnist(data_home=image_home)
    assert mnist.data.shape == (10_000, 1, 28, 28) and mnist.data.dtype == np.float32
    assert mnist.image_shape == (1, 28, 28) and "10,000" in mnist.DESCR
    assert (mnist.data.min(), mnist.data.max()) == (0, 1)
    assert mnist.target[:5].tolist() == [7, 2, 1, 0, 4]
    assert np.bincount(mnist.target)[:3].tolist() == [980, 1135, 1032]
    # The mean of the test set, well known.
    assert mnist.data.mean() == pytest.approx(0.1325, abs=1e-4)
    for packed in (image_home / "mnist").glob("t10k-*.gz"):
        (tmp_path / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
    monkeypatch.setenv("SKMETA_DATA_HOME", str(tmp_path))
    small = fetch_mnist(size=16)
    assert small.image_shape == (1, 16, 16)
    np.testing.assert_allclose(small.data.mean((1, 2, 3)), mnist.data.mean((1, 2, 3)), atol=1e-6)


def test_cifar10(image_home):
    cifar10 = fetch_cifar10(data_home=image_home)
    assert cifar10.data.shape == (12_000, 3, 32, 32) and cifar10.image_shape == (3, 32, 32)
    assert set(np.unique(cifar10.target, return_counts=True)[1].tolist()) == {1200}
    assert cifar10.target[:2].tolist() == ["cat", "ship"]
    np.testing.assert_allclose(cifar10.data[0, :, 0, 0], np.array([193, 195, 194]) / 255)
    grey = fetch_cifar10(data_home=image_home / "cifar10", size=16, grey=True)
    assert grey.data.shape == (12_000, 1, 16, 16)
    luminance = np.tensordot([0.299, 0.587, 0.114], cifar10.data[:50], axes=(0, 1))
    halved = luminance.reshape(50, 16, 2, 16, 2).mean((2, 4))
    np.testing.assert_allclose(grey.data[:50, 0], halved, atol=1e-6)


@pytest.mark.parametrize("old, new", [(28, 28), (28, 16), (32, 16), (5, 3), (7, 1)])
def test_areas(old, new):
    shares = _area_shares(old, new)
    pixels = np.random.default_rng(0).random(old)
    # Of pixels that are cut into `new` parts, `old` parts make one.
    expected = np.repeat(pixels, new).reshape(new, old).mean(1)
    np.testing.assert_allclose(shares @ pixels, expected, rtol=1e-5)


def bunch_of_images(n=60, **more):
    rng = np.random.default_rng(0)
    images = rng.random((n, 2, 3, 4)) * [[[[1.0]], [[5.0]]]] + 2
    return Bunch(data=images, target=np.arange(n) % 3, **more)


def test_tasks_of_images():
    bunch = bunch_of_images()
    train, reference, test = split_tasks(bunch, sizes=(0.5, 0.25, 0.25))
    assert [task.n_samples for task in (train, reference, test)] == [30, 15, 15]
    assert train.n_features == 24 and train.groups is None
    assert np.bincount(test.y).tolist() == [5, 5, 5]
    pixels = train.X.reshape(-1, 2, 12)
    np.testing.assert_allclose(pixels.mean((0, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(pixels.std((0, 2)), 1, atol=1e-5)
    # A row is an image, channel by channel, and all pixels of a channel have one scale.
    images = bunch.data.reshape(60, 2, 12)
    offsets = np.diff(test.X.reshape(-1, 2, 12)[0])
    ratios = [offsets / np.diff(image) for image in images]
    spread = [ratio.std(1).max() for ratio in ratios]
    assert min(spread) < 1e-4 < 1e-2 < sorted(spread)[1]


def test_a_table_without_groups_and_images_with_groups():
    table = Bunch(data=pd.DataFrame({"a": range(30)}), target=[0, 1] * 15)
    train, *_ = split_tasks(table)
    assert train.groups is None and train.feature_names == ["a"]
    groups = pd.DataFrame({"side": np.arange(60) % 2})
    train, *_ = split_tasks(bunch_of_images(sensitive_features=groups))
    assert train.groups.tolist() == [0, 1]


@pytest.mark.parametrize(
    "change, options, words",
    [
        ({}, {"sensitive": "sex"}, "need a bunch with 'sensitive_features'. Got 'sex' and False"),
        ({}, {"drop_sensitive": True}, "Got None and True without"),
        (
            {"data": np.zeros((60, 5))},
            {},
            r"may be images of shape .* Got ndarray of shape \(60, 5",
        ),
        ({"target": [0] * 59}, {}, "'data', 'target' of a bunch .* Got 60, 59 rows"),
        ({"target": [None] * 60}, {}, "missing values in 60 row"),
    ],
)
def test_bunches_that_are_refused(change, options, words):
    with pytest.raises((TypeError, ValueError), match=words):
        split_tasks(Bunch(**{**bunch_of_images(), **change}), **options)


def test_missing_and_damaged_files(image_home, tmp_path):
    with pytest.raises(FileNotFoundError, match="needs the file t10k-images.* Put it there, or"):
        fetch_mnist(data_home=tmp_path)
    with pytest.raises(FileNotFoundError, match="fetch_cifar10 needs the file cifar10_subset.npz"):
        fetch_cifar10(data_home=tmp_path)
    for packed in (image_home / "mnist").glob("t10k-*.gz"):
        shutil.copy(packed, tmp_path)
    images = tmp_path / "t10k-images-idx3-ubyte.gz"
    images.write_bytes(images.read_bytes()[:1000])
    with pytest.raises(OSError, match=r"cannot read .*Replace or delete it"):
        fetch_mnist(data_home=tmp_path)
    images.write_bytes(gzip.compress(b"something else"))
    with pytest.raises(ValueError, match="with sha256 0fa.* when unpacked. Got"):
        fetch_mnist(data_home=tmp_path)


def test_damaged_cifar10(tmp_path):
    path = tmp_path / "cifar10_subset.npz"
    path.write_bytes(b"no archive")
    with pytest.raises(OSError, match="must hold the arrays X_train, y_train"):
        fetch_cifar10(data_home=tmp_path)
    y, classes = np.zeros(4, np.uint8), np.array(["a"])
    for X, words in (
        (np.zeros((4, 32, 32, 3)), "Got float64 of shape"),
        (np.zeros((4, 16, 16, 3), np.uint8), r"Got uint8 of shape \(4, 16, 16, 3\)"),
    ):
        np.savez(path, X_train=X, y_train=y, X_test=X, y_test=y, classes=classes)
        with pytest.raises(ValueError, match=words):
            fetch_cifar10(data_home=tmp_path)
    np.savez(path, X_train=X)
    with pytest.raises(OSError, match="must hold the arrays"):
        fetch_cifar10(data_home=tmp_path)


@pytest.mark.parametrize("fetch, high", [(fetch_mnist, 28), (fetch_cifar10, 32)])
@pytest.mark.parametrize("size", [0, 33, 16.5])
def test_sizes_that_are_refused(fetch, high, size):
    with pytest.raises((ValueError, TypeError), match=rf"'size' parameter .* \[1, {high}\]"):
        fetch(size=size)
