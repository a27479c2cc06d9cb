"""Tasks that optimizers are compared on: rows to train on, to choose by and to test on."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.ndimage
from sklearn.datasets import load_breast_cancer, load_digits

from skmeta.datasets import Task, fetch_adult, fetch_bank, fetch_cifar10, fetch_mnist, split_tasks
from skmeta.networks import Architecture


class Setting(NamedTuple):
    """A task, its networks, and how long the paper's baseline trains them."""

    train: Task
    test: Task
    architecture: Architecture
    n_steps: int


def _standardised(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean, std = train.mean(), train.std()
    return (train - mean) / std, (test - mean) / std


def _images(
    train: np.ndarray, y: np.ndarray, test: np.ndarray, y_test: np.ndarray, n_steps: int
) -> Setting:
    X, X_test = _standardised(train.reshape(len(train), -1), test.reshape(len(test), -1))
    n_outputs = len(np.unique(y))
    return Setting(
        Task(X, y), Task(X_test, y_test), Architecture.mlp((X.shape[1], 32, n_outputs)), n_steps
    )


def mnist8(data_home: Path | None) -> Setting:
    """MNIST at 8 x 8 pixels, shifted by two of the original ones in eight directions."""
    full = fetch_mnist(data_home=data_home)
    images, labels = full.data.reshape(-1, 28, 28), full.target
    order = np.random.default_rng(0).permutation(len(labels))
    train, test = order[:7500], order[7500:]
    shifts = [(i, j) for i in (-2, 0, 2) for j in (-2, 0, 2)]

    def small(some: np.ndarray) -> np.ndarray:
        return np.stack([_area(image) for image in some])

    X = np.concatenate([small(np.roll(images[train], shift, (1, 2))) for shift in shifts])
    y = np.tile(labels[train], len(shifts))
    return _images(X, y, small(images[test]), labels[test], 2000)


def _area(image: np.ndarray) -> np.ndarray:
    """Means over 8 x 8 areas of 28 x 28 pixels."""
    fine = image.repeat(2, 0).repeat(2, 1)  # 56 = 8 * 7
    return fine.reshape(8, 7, 8, 7).mean((1, 3))


def cifar8(data_home: Path | None) -> Setting:
    """CIFAR-10 at 8 x 8 pixels in colour, and mirrored."""
    full = fetch_cifar10(data_home=data_home, size=8)
    images = full.data.reshape(len(full.target), -1, 8, 8)
    mirrored = images[:10000, :, :, ::-1]
    X = np.concatenate([images[:10000], mirrored])
    y = np.tile(full.target[:10000], 2)
    return _images(X, y, images[10000:], full.target[10000:], 2000)


def digits(data_home: Path | None) -> Setting:
    """The digits that come with scikit-learn, shifted, with noise."""
    bunch = load_digits()
    rng = np.random.default_rng(0)
    order = rng.permutation(len(bunch.target))
    train, test = order[:1200], order[1200:]
    images = bunch.images / 16
    X, y = [], []
    for shift in [(i, j) for i in (-0.7, 0, 0.7) for j in (-0.7, 0, 0.7)]:
        for _ in range(4):
            moved = scipy.ndimage.shift(images[train], (0, *shift), order=1)
            X.append(moved + 0.15 * rng.standard_normal(moved.shape))
            y.append(bunch.target[train])
    return _images(np.concatenate(X), np.concatenate(y), images[test], bunch.target[test], 1000)


def _table(bunch: object, sensitive: str) -> Setting:
    train, other, test = split_tasks(bunch, sensitive, random_state=0)
    architecture = Architecture.mlp((train.n_features, 32, train.n_classes))
    joined = Task(np.concatenate([train.X, other.X]), np.concatenate([train.y, other.y]))
    return Setting(joined, Task(test.X, test.y), architecture, 1000)


def adult(data_home: Path | None) -> Setting:
    """Adult."""
    return _table(fetch_adult(data_home=data_home), "sex")


def bank(data_home: Path | None) -> Setting:
    """Bank Marketing."""
    return _table(fetch_bank(data_home=data_home), "marital")


def breast_cancer(data_home: Path | None) -> Setting:
    """The table of 569 rows that comes with scikit-learn, half of them to test on."""
    X, y = load_breast_cancer(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    train, test = order[:300], order[300:]
    mean, std = X[train].mean(0), X[train].std(0)
    X = (X - mean) / std
    return Setting(
        Task(X[train], y[train]), Task(X[test], y[test]), Architecture.mlp((30, 32, 2)), 500
    )


TASKS = {f.__name__: f for f in (mnist8, cifar8, digits, adult, bank, breast_cancer)}
