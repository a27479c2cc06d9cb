"""Convolutional modules in and out of a Population."""

import copy
import json

import numpy as np
import pytest
import skorch
import torch
from torch import nn

from skmeta.files import FileError
from skmeta.files.codec import decode
from skmeta.networks import Architecture, Conv, Pool, UnsupportedNetworkError
from skmeta.population import Population

from .cnns import ARCHITECTURES, IMAGES, ROWS, SHAPE, population, sequential


class Written(nn.Module):
    """A forward that is written out, on rows."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 4, 3, padding="same"), nn.Conv2d(4, 5, 2, 2, "valid")
        self.last = nn.Linear(5, 3)

    def forward(self, x):
        h = torch.tanh(self.first(x.unflatten(1, SHAPE)))
        h = nn.functional.dropout(self.second(h), 0.1, self.training).relu()
        return self.last(h.mean((-2, -1))).log_softmax(1)


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Conv2d(2, 4, 3), nn.Linear(4, 3, bias=False)

    def forward(self, x):
        h = nn.functional.adaptive_avg_pool2d(torch.relu(self.body(x)), 1)
        return self.head(torch.flatten(h, 1))


def modules():
    torch.manual_seed(0)
    plain = [sequential(record).float() for record in population(n_each=1).records()]
    return {
        **{name: (module, IMAGES) for name, module in zip("abcdefg", plain, strict=True)},
        "unflatten": (nn.Sequential(nn.Unflatten(1, SHAPE), *copy.deepcopy(plain[0])), ROWS),
        "skmeta": (population(n_each=1, dtype=torch.float32)[0], ROWS),
        "written": (Written().eval(), ROWS),
        "functional": (Functional().eval(), IMAGES),
        "double": (Functional().double().eval(), IMAGES),
    }


@pytest.mark.parametrize("name", modules())
def test_round_trip(name):
    module, X = modules()[name]
    networks = Population([module] * 2, input_shape=SHAPE)
    dtype = next(module.parameters()).dtype
    with torch.no_grad():
        expected = module(X.to(dtype)).float()
    outputs = networks.forward(X)[0].detach()
    outputs = outputs.log_softmax(1) if name == "written" else outputs
    torch.testing.assert_close(outputs, expected, rtol=0, atol=1e-5)
    again = networks.to_networks()[0]
    assert type(again) is type(module)
    for (key, old), new in zip(
        module.state_dict().items(), again.state_dict().values(), strict=True
    ):
        assert torch.equal(old, new), key
    edited = networks.rescaled(0, max_scale=10).to_networks()[1]
    edited_outputs = edited(X.to(dtype)).float().detach()
    torch.testing.assert_close(edited_outputs, expected, rtol=0, atol=1e-4)


def test_where_dropout_stands_and_what_is_read():
    parts = [nn.Conv2d(2, 3, (3, 1), (2, 1), (0, 1)), nn.Dropout(0.1), nn.AdaptiveAvgPool2d((1, 1))]
    module = nn.Sequential(*parts, nn.Dropout(0.2), nn.Flatten(), nn.Linear(3, 4))
    (spec,) = Population([module], input_shape=SHAPE).architectures
    stage = spec.stages[0]
    assert stage.mix == Conv(3, (3, 1), (2, 1), (0, 1)) and stage.find(Pool) == Pool("mean")
    assert stage.dropout == pytest.approx(0.28) and spec.input_shape == SHAPE
    assert spec.widths == (2, 3, 4) and spec.n_inputs == 144


def test_skorch_net():
    net = skorch.NeuralNetClassifier(
        modules()["a"][0], criterion=nn.CrossEntropyLoss, classes=[0, 1, 2]
    ).initialize()
    networks = Population([net], input_shape=SHAPE)
    expected = net.predict_proba(IMAGES.float())
    torch.testing.assert_close(networks.predict_proba(IMAGES)[0], expected, rtol=0, atol=1e-6)
    again = networks.to_networks()[0]
    assert (again.predict_proba(IMAGES.float()) == expected).all()


def conv(*parts):
    return nn.Sequential(nn.Conv2d(2, 3, 3), *parts)


POOL = (nn.AdaptiveAvgPool2d(1), nn.Flatten())
REFUSED = [
    (conv(nn.Flatten(), nn.Linear(3, 2)), "Flatten at '1' acts on an image"),
    (conv(nn.InstanceNorm2d(3), *POOL), "InstanceNorm2d at '1' is not a supported module"),
    (conv(nn.BatchNorm1d(3), *POOL), "BatchNorm1d at '1' acts on an image"),
    (conv(nn.AvgPool2d(2), *POOL), "AvgPool2d at '1' is not a supported module"),
    (conv(nn.MaxPool2d(2, dilation=2), *POOL), "must have dilation=1"),
    (conv(nn.AdaptiveAvgPool2d(2), nn.Flatten()), "must pool to size 1"),
    (conv(nn.AdaptiveAvgPool2d(1), nn.Linear(3, 2)), "Linear at '2' takes an image"),
    (conv(), "returns an image"),
    (conv(nn.Tanh(), *POOL, nn.ReLU()), "followed by activation -> pool -> activation"),
    (conv(*POOL, nn.Linear(3, 3), nn.AdaptiveAvgPool2d(1)), "does not act on the image behind"),
    (conv(*POOL, nn.Unflatten(1, (3, 1, 1)), nn.Conv2d(3, 2, 1)), "Unflatten at '3' does not act"),
    (nn.Sequential(nn.Linear(2, 2), nn.Conv2d(2, 2, 3)), "Conv2d at '1' takes something else"),
    (nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), *POOL), "must have groups=1"),
    (nn.Sequential(nn.Conv2d(2, 4, 3, dilation=2), *POOL), "must have groups=1, dilation=1"),
    (nn.Sequential(nn.Conv2d(2, 4, 2, padding="same"), *POOL), "pads an even kernel unevenly"),
    (nn.Sequential(nn.Unflatten(1, (2, -1, 8)), *conv(*POOL)), "known sizes all"),
]


@pytest.mark.parametrize("module, words", REFUSED, ids=[words for _, words in REFUSED])
def test_modules_that_are_refused(module, words):
    with pytest.raises(UnsupportedNetworkError, match="Network 0 ") as caught:
        Population([module], input_shape=SHAPE)
    assert words in str(caught.value)


def test_a_residual_cnn_is_refused():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x):
            h = self.a(x)
            return (self.b(h) + h).mean((2, 3))

    with pytest.raises(UnsupportedNetworkError, match="add in the forward .* acts on an image"):
        Population([Residual()], input_shape=SHAPE)


def test_the_size_of_images_must_be_known_and_fit():
    with pytest.raises(UnsupportedNetworkError, match="size of its images is not known. Pass Pop"):
        Population([conv(*POOL)])
    with pytest.raises(ValueError, match=r"takes images of 2 channel\(s\). Got the shape \(1, 4"):
        Population([conv(*POOL)], input_shape=(1, 4, 4))
    unflatten = nn.Sequential(nn.Unflatten(1, SHAPE), *conv(*POOL))
    with pytest.raises(ValueError, match=r"input_shape=\(2, 8, 9\)"):
        Population([unflatten], input_shape=(2, 8, 9))
    with pytest.raises(ValueError, match="too small"):
        Population([conv(*POOL)], input_shape=(2, 2, 2))
    for wrong in (8, "289", (8, 8), (2, 8.0, 8.0), (2, -8, -8)):
        with pytest.raises(ValueError, match="'input_shape' of a Population must be three pos"):
            Population([conv(*POOL)], input_shape=wrong)
    given = Population([conv(*POOL)], input_shape=np.array(SHAPE))
    assert given.architectures[0].input_shape == SHAPE


@pytest.mark.parametrize(
    "change, words",
    [
        ({"input_shape": [1, 9, 8]}, "of n_inputs numbers"),
        ({"input_shape": [2, 9, "8"]}, "list of ints"),
        ({"input_shape": None}, "'input_shape' has the wrong type"),
        ({"stages": [{"kernel": [3]}]}, "a stage has the wrong fields"),
    ],
)
def test_hostile_descriptions(change, words):
    def checked(spec):
        return decode({"!Architecture": spec}, {}, [Architecture])

    spec = json.loads(json.dumps(ARCHITECTURES[0].to_dict()))
    stages = spec["stages"]
    assert checked(spec) == ARCHITECTURES[0]
    with pytest.raises(FileError, match=words):
        checked({**spec, **change})
    for kernel in ([3], [3, 3.0], "33", [0, 3]):
        with pytest.raises(FileError):
            mix = {**stages[0]["mix"], "kernel": kernel}
            checked({**spec, "stages": [{**stages[0], "mix": mix}, *stages[1:]]})
