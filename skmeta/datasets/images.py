"""Real tasks of images: MNIST and CIFAR-10, small and grey on demand."""

import hashlib

import numpy as np
from sklearn.utils import Bunch

from skmeta._checks import check_in_range
from skmeta.datasets._files import find_file, read_unpacked

_MNIST = {  # sha256 of the unpacked files
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
_CIFAR10 = "cifar10_subset.npz"
_CIFAR10_ARRAYS = ("X_train", "y_train", "X_test", "y_test", "classes")
# ITU-R BT.601, as in Pillow's and OpenCV's conversion to grey.
_LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)

_MNIST_DESCR = """MNIST: the 10,000 handwritten digits of the original test set.

Grey images with values from 0 to 1. The original training set is not part of it.
Source: LeCun, Cortes & Burges."""
_CIFAR10_DESCR = """A subset of CIFAR-10: photographs of ten kinds of things.

Images with values from 0 to 1, those of X_train in front of those of X_test.
Source: Krizhevsky (2009), Learning multiple layers of features from tiny images."""


def fetch_mnist(*, data_home=None, size=28):
    """Load the 10,000 images of MNIST's original test set.

    The files `t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte`, plain or gzipped, are
    looked for in `data_home` and its folder `mnist`; their content is verified. They are not
    downloaded.

    Parameters
    ----------
    data_home : path-like or None
        Where the files lie. None means ``$SKMETA_DATA_HOME`` if that is set, then the user's
        cache folder.
    size : int
        Height and width, at most 28; smaller images are means over areas.

    Returns
    -------
    Bunch
        `data` (float32 array of shape (10,000, 1, size, size), values from 0 to 1), `target`
        (digits), `image_shape` (channels, height, width) and `DESCR`.

    See Also
    --------
    split_tasks : Make three tasks of it.

    Examples
    --------
    >>> from skmeta.datasets import fetch_mnist, split_tasks
    >>> mnist = fetch_mnist(size=16)  # doctest: +SKIP
    >>> train, reference, test = split_tasks(mnist)  # doctest: +SKIP
    """
    owner = "fetch_mnist"
    check_in_range("size", size, owner=owner, low=1, high=28, kind="int")
    images, labels = (_read_mnist(name, data_home, owner) for name in _MNIST)
    # The header of an IDX file: 4 bytes, and 4 for each axis.
    pixels = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 1, 28, 28)
    target = np.frombuffer(labels, np.uint8, offset=8).astype(np.int64)
    return _bunch(pixels, target, size, _MNIST_DESCR)


def fetch_cifar10(*, data_home=None, size=32, grey=False):
    """Load a subset of CIFAR-10.

    The file `cifar10_subset.npz` is looked for in `data_home` and its folder `cifar10`. It
    holds `X_train` and `X_test` (uint8 arrays of shape (n, 32, 32, 3)), their labels `y_train`
    and `y_test` (codes) and `classes` (the names). It is not downloaded.

    Parameters
    ----------
    data_home : path-like or None
        Where the file lies. None means ``$SKMETA_DATA_HOME`` if that is set, then the user's
        cache folder.
    size : int
        Height and width, at most 32; smaller images are means over areas.
    grey : bool
        Give one channel, the luminance, in place of red, green and blue.

    Returns
    -------
    Bunch
        `data` (float32 array of shape (n_samples, 3 or 1, size, size), values from 0 to 1),
        `target` (names of classes), `image_shape` (channels, height, width) and `DESCR`.

    See Also
    --------
    split_tasks : Make three tasks of it.

    Examples
    --------
    >>> from skmeta.datasets import fetch_cifar10, split_tasks
    >>> cifar10 = fetch_cifar10(size=16, grey=True)  # doctest: +SKIP
    >>> train, reference, test = split_tasks(cifar10)  # doctest: +SKIP
    """
    owner = "fetch_cifar10"
    check_in_range("size", size, owner=owner, low=1, high=32, kind="int")
    path = _find((_CIFAR10,), "cifar10", data_home, owner)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in _CIFAR10_ARRAYS}
    except (OSError, ValueError, KeyError) as error:
        raise OSError(
            f"{owner} cannot read {path}: {error}. It must hold the arrays "
            f"{', '.join(_CIFAR10_ARRAYS)}. Replace or delete it."
        ) from error
    pixels = np.concatenate([arrays["X_train"], arrays["X_test"]]).transpose(0, 3, 1, 2)
    codes = np.concatenate([arrays["y_train"], arrays["y_test"]])
    if pixels.dtype != np.uint8 or pixels.shape != (len(codes), 3, 32, 32):
        raise ValueError(
            f"{owner} needs uint8 images of shape (n, 32, 32, 3) and a label for each. Got "
            f"{pixels.dtype} of shape {arrays['X_train'].shape} in {path}. Replace it."
        )
    if grey:
        pixels = np.tensordot(pixels, _LUMINANCE, axes=(1, 0))[:, None]
    return _bunch(pixels, arrays["classes"][codes], size, _CIFAR10_DESCR)


def _read_mnist(name, data_home, owner):
    path = _find((name, f"{name}.gz"), "mnist", data_home, owner)
    content = read_unpacked(path, owner)
    digest = hashlib.sha256(content).hexdigest()
    if digest != _MNIST[name]:
        raise ValueError(
            f"{owner} needs the original file {name}, with sha256 {_MNIST[name]} when unpacked. "
            f"Got {digest} from {path}. Replace it."
        )
    return content


def _find(names, folder, data_home, owner):
    path, places = find_file(names, folder, data_home)
    if path is None:
        raise FileNotFoundError(
            f"{owner} needs the file {' or '.join(names)}. Found none in "
            f"{', '.join(map(str, places))}. Put it there, or name its folder in data_home or "
            "$SKMETA_DATA_HOME."
        )
    return path


def _bunch(pixels, target, size, description):
    """Bundle images (n, channels, height, width) with values from 0 to 255."""
    shares = _area_shares(pixels.shape[-1], size)
    data = np.matmul(np.matmul(shares, pixels.astype(np.float32)), shares.T) / np.float32(255)
    return Bunch(data=data, target=target, image_shape=data.shape[1:], DESCR=description)


def _area_shares(old, new):
    """Return the share of each old pixel in each new one along an axis, ``(new, old)``."""
    edges = np.arange(new + 1) * (old / new)
    starts, ends = edges[:-1, None], edges[1:, None]
    pixels = np.arange(old)
    overlap = np.minimum(ends, pixels + 1) - np.maximum(starts, pixels)
    return (np.clip(overlap, 0, None) * (new / old)).astype(np.float32)
