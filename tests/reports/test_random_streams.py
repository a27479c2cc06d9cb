"""Nothing reads or moves a global random stream, so threads do not disturb each other."""

import random
import time
from multiprocessing.pool import ThreadPool

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

import skmeta
from skmeta import ComplianceEditor, WeightSpaceRegressor
from skmeta.metanets import Encoded, NeuronTrunk
from skmeta.networks import Architecture
from skmeta.population import Population
from tests.reports.public_calls import CALLS, Small
from tests.reports.public_names import MODULES, NO_CALLS, public_names
from tests.reports.threads import in_threads
from tests.stages import layer, of_field


@pytest.fixture(scope="module")
def small():
    made = Small()
    _ = made.zoo, made.editor, made.logits  # made outside of what is watched
    return made


def states():
    """Return the states of the streams that a process shares."""
    name, words, *rest = np.random.get_state()  # noqa: NPY002
    return random.getstate(), name, words.tolist(), rest, torch.get_rng_state().tolist()


def test_every_public_name_is_called_or_known_to_draw_nothing():
    known = set(CALLS) | MODULES | NO_CALLS
    assert public_names() - known == set()
    assert set(CALLS) & (MODULES | NO_CALLS) == set()


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", sorted(CALLS))
def test_no_public_call_moves_a_global_stream(name, small):
    before = states()
    CALLS[name](small)
    after = states()
    plt.close("all")
    assert after == before


def test_no_public_call_depends_on_the_global_stream(small):
    def fit(seed):
        torch.manual_seed(seed)
        editor = small.edit(random_state=3)
        return torch.cat([t.flatten() for t in editor.metanet_.state_dict().values()])

    with torch.random.fork_rng():
        assert torch.equal(fit(0), fit(1))


class Dropping(NeuronTrunk):
    """A trunk of a user, with dropout and weights of its own."""

    def __init__(self, graphs, **options):
        super().__init__(graphs, **options)
        self.gate = torch.nn.Parameter(torch.rand(()))

    def encode(self, graph, given):
        encoded = super().encode(graph, given)
        dropped = torch.nn.functional.dropout(encoded.context, 0.5, self.training)
        return Encoded(encoded.neurons * self.gate, dropped)


def test_a_metanetwork_of_the_user_draws_from_the_editors_stream_too(small):
    before = states()
    one, other = (small.edit(metanet=Dropping, random_state=0) for _ in range(2))
    edited = one.transform(small.zoo)
    assert states() == before
    for a, b in zip(one.metanet_.parameters(), other.metanet_.parameters(), strict=True):
        assert torch.equal(a, b)
    # Edits do not drop anything.
    for a, b in zip(edited.records(), one.transform(small.zoo).records(), strict=True):
        assert torch.equal(a.tensors["0.weight"], b.tensors["0.weight"])


def flat(population):
    return np.concatenate(
        [w.flatten().numpy() for record in population.records() for w in of_field(record, "weight")]
    )


READERS = [{"metanet": "nfn-hnp"}, {"metanet": "graph"}, {"metanet": "statistics", "quasi": True}]


def test_readers_fitted_in_threads_are_those_fitted_alone(small):
    y = np.linspace(0, 1, len(small.zoo))

    def job(i):
        options = small.options | READERS[i % 3] | {"random_state": i, "max_epochs": 3}
        return lambda: WeightSpaceRegressor(**options).fit(small.zoo, y).predict(small.zoo)

    serial, threaded = in_threads([job(i) for i in range(8)])
    np.testing.assert_array_equal(serial, threaded)


def test_editors_fitted_in_threads_are_those_fitted_alone(small):
    def job(i):
        options = small.options | {"random_state": i, "metanet": ["neuron", "graph"][i % 2]}
        editor = ComplianceEditor(**options)
        return lambda: flat(editor.fit(small.zoo, task=small.task).transform(small.zoo))

    serial, threaded = in_threads([job(i) for i in range(8)])
    np.testing.assert_array_equal(serial, threaded)


def test_zoos_trained_in_threads_are_those_trained_alone(small):
    serial, threaded = in_threads([lambda i=i: flat(small.train(random_state=i)) for i in range(4)])
    for alone, beside in zip(serial, threaded, strict=True):
        np.testing.assert_array_equal(alone, beside)


def test_loading_in_threads_does_not_rewind_the_streams_of_others(small, tmp_path):
    y = np.linspace(0, 1, len(small.zoo))
    reader = WeightSpaceRegressor(**small.options).fit(small.zoo, y)
    skmeta.save(reader, tmp_path / "reader")

    def load():
        for _ in range(5):
            skmeta.load(tmp_path / "reader")
            _ = small.zoo[0]

    with torch.random.fork_rng():
        torch.manual_seed(0)
        drawn = []
        with ThreadPool(2) as pool:
            loading = [pool.apply_async(load) for _ in range(2)]
            while not all(job.ready() for job in loading):
                drawn.append(torch.rand(2).tolist())
                time.sleep(1e-4)
            for job in loading:
                job.get()
        torch.manual_seed(0)
        assert drawn == [torch.rand(2).tolist() for _ in drawn]


def test_networks_of_a_population_are_modules_with_its_numbers_only():
    # Built without numbers of their own, they must still be whole: trainable, and on the CPU.
    batch = Architecture(3, (layer(4, "relu", norm="batch"), layer(2)))
    module = Population.initialize(batch, 1, random_state=0)[0]
    tensors = [*module.parameters(), *module.buffers()]
    assert all(tensor.device.type == "cpu" for tensor in tensors)
    assert all(tensor.requires_grad and tensor.is_leaf for tensor in module.parameters())
    loss = module.train()(torch.ones(5, 3)).sum()
    loss.backward()
    assert all(tensor.grad is not None for tensor in module.parameters())
    assert int(module.state_dict()["blocks.0.norm.num_batches_tracked"]) == 1


class Everything(torch.nn.Module):
    """Draws in most of the ways that torch has."""

    def __init__(self):
        super().__init__()
        self.linear, self.gru = torch.nn.Linear(4, 4), torch.nn.GRU(4, 4, 2, dropout=0.5)
        torch.nn.init.orthogonal_(self.linear.weight)
        self.attention = torch.nn.TransformerEncoderLayer(4, 2, 8)

    def forward(self, x):
        x = torch.nn.functional.dropout(self.gru(self.linear(x))[0])
        x = self.attention(torch.nn.functional.rrelu(x, training=True))
        noise = torch.randn_like(x) + torch.randint_like(x, 2, 5) + torch.randint(7, (4,))
        return x + noise + torch.rand(4)[torch.randperm(4)] + torch.normal(x.detach(), 1.0)


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad])
def test_local_draws_are_those_behind_a_seed(mode):
    from skmeta._random import local_draws

    def draw():
        with mode():
            return Everything()(torch.ones(3, 2, 4))

    with torch.random.fork_rng():
        torch.manual_seed(5)
        wanted = draw()
    before = states()
    with local_draws(5):
        got = draw()
    assert states() == before
    assert torch.equal(wanted, got)
