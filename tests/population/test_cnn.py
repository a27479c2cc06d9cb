"""Convolutional networks in a Population: against torch's own layers, in float64."""

import pickle

import numpy as np
import pytest
import torch
from torch import nn

from skmeta.baselines import Prune
from skmeta.datasets import Task
from skmeta.estimators import ComplianceEditor
from skmeta.gradients import KroneckerFisher, Recording
from skmeta.networks import CNN, Architecture, Conv, to_module
from skmeta.population import Population, apply_permutations, forward, random_permutations, shrink
from tests.stages import layer

from .cnns import ARCHITECTURES, CASES, IMAGES, N_INPUTS, ROWS, SHAPE, population, sequential

EXACT = {"rtol": 0, "atol": 1e-12}


def outputs_of_modules(networks: Population):
    with torch.no_grad():
        return torch.stack([sequential(record)(IMAGES) for record in networks.records()])


@pytest.mark.parametrize("name, architecture", CASES)
def test_equals_torch_on_rows_and_images(name, architecture):
    networks = population([architecture], 3)
    expected = outputs_of_modules(networks)
    for X in (ROWS, IMAGES, IMAGES.numpy()):
        torch.testing.assert_close(networks.forward(X), expected, **EXACT)
    with torch.no_grad():
        torch.testing.assert_close(networks.forward(ROWS), expected, **EXACT)
    for module, output in zip(networks.to_networks(), expected, strict=True):
        assert type(module) is CNN
        torch.testing.assert_close(module(ROWS), output, **EXACT)
        torch.testing.assert_close(module(IMAGES), output, **EXACT)


def test_mixed_population_of_cnns_and_mlps():
    mlp = Architecture.mlp((N_INPUTS, 5, 3))
    networks = population([mlp, *ARCHITECTURES])
    cnns = np.arange(len(networks)) % (len(ARCHITECTURES) + 1) != 0
    outputs = networks.forward(ROWS)
    torch.testing.assert_close(outputs[cnns], outputs_of_modules(networks[cnns]), **EXACT)
    torch.testing.assert_close(outputs[~cnns], networks[~cnns].forward(ROWS), **EXACT)
    # One stack for all that share images and convolutions, whatever their widths.
    sizes = {stack.geometry: len(stack) for _, stack in networks.depth_blocks()}
    assert sizes[ARCHITECTURES[0].geometry] == 6 and len(sizes) == 6
    assert Population.concatenate([networks[::2], networks[1::2]]).shape == networks.shape


def test_rows_of_their_own_and_gradients():
    for _, stack in population().depth_blocks():
        X = torch.randn(len(stack), 5, N_INPUTS, dtype=torch.float64, requires_grad=True)
        weights = stack.weights.map(lambda t: t.clone().requires_grad_())
        outputs = forward(stack, X, weights)
        outputs.square().sum().backward()
        gradients = weights.with_flat(weights.flat.grad)
        for row, record in enumerate(stack.records()):
            module, rows = sequential(record), X.detach()[row].requires_grad_()
            expected = module(rows.unflatten(1, SHAPE))
            torch.testing.assert_close(outputs[row], expected, **EXACT)
            expected.square().sum().backward()
            torch.testing.assert_close(X.grad[row], rows.grad, rtol=1e-9, atol=1e-12)
            linears = [m for m in module if isinstance(m, nn.Linear | nn.Conv2d)]
            for index, linear in enumerate(linears):
                gradient = gradients[f"{index}.weight"][row]
                out, inp = linear.weight.shape[:2]
                torch.testing.assert_close(gradient[:out, :inp], linear.weight.grad)


SIZES = [(kernel, stride, padding) for kernel in (1, 2, 3, 5) for stride in (1, 2, 3, 4)
         for padding in (0, 1, 3)]  # fmt: skip


@pytest.mark.parametrize("kernel, stride, padding", SIZES)
def test_every_convolution_equals_torch(kernel, stride, padding):
    conv, shape = Conv(4, (kernel, 2), (stride, 2), (padding, 1)), (2, 3, 7, 5)
    generator = torch.Generator().manual_seed(0)
    images, weight, bias = (
        torch.randn(*size, dtype=torch.float64, generator=generator, requires_grad=True)
        for size in ((2, *shape), (2, 4, 3, kernel, 2), (2, 4))
    )
    outputs = conv.forward(images.permute(0, 1, 3, 4, 2).flatten(1, 3), weight, bias, (7, 5))
    expected = torch.stack(
        [
            torch.nn.functional.conv2d(*one, (stride, 2), (padding, 1))
            for one in zip(images, weight, bias, strict=True)
        ]
    )
    torch.testing.assert_close(outputs, expected.permute(0, 1, 3, 4, 2).flatten(1, 3), **EXACT)
    inputs, weights = (images, weight, bias), torch.randn(outputs.shape, generator=generator)
    found = torch.autograd.grad((outputs * weights).sum(), inputs)
    weights = weights.view(*expected.movedim(2, -1).shape).movedim(-1, 2)
    wanted = torch.autograd.grad((expected * weights).sum(), inputs)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-11)


def test_convolutions_have_gradients_of_gradients():
    conv = Conv(3, (3, 2), (2, 1), (1, 0))
    generator = torch.Generator().manual_seed(0)
    inputs = [
        torch.randn(*size, dtype=torch.float64, generator=generator, requires_grad=True)
        for size in ((2, 2 * 9, 2), (2, 3, 2, 3, 2), (2, 3))
    ]
    assert torch.autograd.gradgradcheck(lambda *args: conv.forward(*args, (3, 3)).tanh(), inputs)


def test_padding_changes_nothing():
    networks = population()
    expected = networks.forward(ROWS)
    blocks = []
    for positions, stack in networks.depth_blocks():
        wide = stack.padded([stack.widths[0], *(width + 2 for width in stack.widths[1:])])
        torch.testing.assert_close(forward(wide, ROWS)[..., :3], expected[positions], **EXACT)
        blocks.append((positions, wide))
        for name, mask in wide.present().items():
            weight = wide.weights[name]
            neutral = 1.0 if name.endswith("scale") else 0.0
            assert mask.shape == weight.shape and (weight[mask == 0] == neutral).all()
    assert torch.equal(networks.with_blocks(blocks).forward(ROWS), expected)


@pytest.mark.parametrize("name, architecture", CASES)
def test_counts_and_dictionaries(name, architecture):
    n_parameters = sum(p.numel() for p in CNN(architecture).parameters())
    assert n_parameters == architecture.n_parameters
    assert Architecture.from_dict(architecture.to_dict()) == architecture


def test_an_mlp_is_described_as_ever():
    spec = Architecture.mlp((3, 4, 2)).to_dict()
    assert list(spec) == ["n_inputs", "output", "stages"]
    assert spec["stages"][0]["mix"] == {"op": "Linear", "width": 4, "bias": True}


# -- symmetries ------------------------------------------------------------------------------


@pytest.mark.parametrize("max_scale", [1.0, 2.0, 1e3])
def test_permuted_and_rescaled_networks_compute_the_same(max_scale):
    networks = population()
    expected = networks.forward(ROWS)
    for changed in (networks.permuted(0), networks.rescaled(0, max_scale=max_scale)):
        torch.testing.assert_close(changed.forward(ROWS), expected, rtol=0, atol=1e-10)


def factors_of(activation, max_scale):
    architecture = Architecture.cnn(SHAPE, (4, 50, 6), 3, stride=2, activation=activation)
    networks = population([architecture], 1)
    (old,), (new,) = networks.records(), networks.rescaled(0, max_scale=max_scale).records()
    return new.tensors["1.bias"] / old.tensors["1.bias"]


def test_scale_groups():
    relu, tanh, gelu, identity = (
        factors_of(name, 1e3) for name in ("relu", "tanh", "gelu", "identity")
    )
    assert (relu > 0).all() and relu.max() > 300 and relu.min() < 1 / 300 and relu.max() <= 1e3
    assert set(tanh.tolist()) == {-1.0, 1.0} and set(gelu.tolist()) == {1.0}
    assert (identity < 0).any() and (identity > 0).any() and identity.abs().max() > 100
    assert set(factors_of("relu", 1.0).tolist()) == {1.0}
    with pytest.raises(ValueError, match=r"'max_scale' parameter of rescaled.*range \[1.0, inf"):
        factors_of("relu", 0.5)


@pytest.mark.parametrize("state", [1, 2, 3])
def test_an_uncoupled_permutation_changes_the_outputs(state):
    (record,) = population(ARCHITECTURES[:1], 1).records()
    permutations = [torch.arange(width) for width in record.architecture.widths]
    permutations[state] = permutations[state].flip(0)
    coupled = apply_permutations(record, permutations)
    uncoupled = type(record)(record.architecture, {**coupled.tensors})
    uncoupled.tensors[f"{state}.weight"] = record.tensors[f"{state}.weight"]
    same, other = (Population.from_records([r]).forward(ROWS) for r in (coupled, uncoupled))
    expected = Population.from_records([record]).forward(ROWS)
    torch.testing.assert_close(same, expected, **EXACT)
    assert (other - expected).abs().max() > 1e-3
    moved = random_permutations(record.architecture, torch.Generator().manual_seed(0))
    assert [len(p) for p in moved] == list(record.architecture.widths)


# -- files, pickles, errors ------------------------------------------------------------------


def test_save_load_pickle_and_indexing(tmp_path):
    networks = population(dtype=torch.float32)
    networks.save(tmp_path / "cnns")
    expected = networks.forward(IMAGES)
    for other in (Population.load(tmp_path / "cnns"), pickle.loads(pickle.dumps(networks))):
        assert other.architectures == networks.architectures
        assert torch.equal(other.forward(IMAGES), expected)
    torch.testing.assert_close(networks[3:5].forward(IMAGES), expected[3:5])
    assert networks.score(IMAGES, np.zeros(len(IMAGES), int)).shape == (len(networks),)


@pytest.mark.parametrize(
    "layers, shape, words",
    [
        ([layer(3)], (1, 4, 4), "if and only if it has convolutions"),
        ([layer(3, kernel=3, pool="mean")], None, "Got input_shape=None and 1 convolutions"),
        ([layer(3, kernel=3, pool="mean")], (1, 4, 5), "of n_inputs numbers"),
        ([layer(3, kernel=3), layer(2)], (1, 4, 4), "the last of them, and no other"),
        ([layer(3, kernel=2, pool="mean")] * 2, (1, 4, 4), "the last of them, and no other"),
        ([layer(3), layer(2, kernel=2, pool="mean")], (1, 4, 4), "before its linear layers"),
        (
            [layer(3, kernel=2, pool="mean"), layer(3, skips=(1,))],
            (1, 4, 4),
            "with convolutions has no skip",
        ),
        ([layer(3, kernel=5, pool="mean")], (1, 4, 4), r"too small.*become \(\(4, 4\), \(0, 0\)\)"),
    ],
)
def test_architectures_that_are_refused(layers, shape, words):
    with pytest.raises(ValueError, match=words):
        Architecture(16, layers, input_shape=shape)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"kernel": 0}, "'kernel' of a Conv must be an int of at least 1"),
        ({"kernel": 3, "stride": (1, 2, 3)}, r"Got \(1, 2, 3\)"),
        ({"kernel": 3, "padding": -1}, "'padding' of a Conv must be an int of at least 0"),
        ({"kernel": 3, "pool": "min"}, "'kind' parameter of Pool must be one of"),
        ({"kernel": 3, "pool": "max"}, "'kernel' of a Pool is the size of the windows"),
    ],
)
def test_layers_that_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        layer(4, **options)


def test_what_needs_linear_layers_says_so():
    networks = population(ARCHITECTURES[:1], 1)
    task = Task(ROWS.numpy(), np.arange(7) % 3, sensitive_features=np.arange(7) % 2)
    ((_, stack),) = networks.blocks
    for owner, call in (
        ("shrink", lambda: shrink(networks)),
        ("KroneckerFisher", lambda: KroneckerFisher(Recording(stack, ROWS), torch.ones(7) / 7)),
        ("Prune", lambda: Prune().fit(networks, task=task).transform(networks)),
        ("ComplianceEditor", lambda: ComplianceEditor("pruning").fit(networks, task=task)),
    ):
        with pytest.raises(ValueError, match=f"{owner} needs networks of linear layers. Network 0"):
            call()


def test_images_of_another_shape():
    networks = population(ARCHITECTURES[:1])
    with pytest.raises(ValueError, match=r"images of \(2, 9, 8\). Got shape \(7, 2, 8, 9\)"):
        networks.forward(IMAGES.transpose(2, 3))
    assert to_module(networks.records()[0])(IMAGES).shape == (7, 3)
