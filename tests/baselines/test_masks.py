"""Pruning, feature selection and distillation against slow loops over single modules."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.neural_network import MLPClassifier
from torch import nn
from torch.nn.utils import prune

from skmeta.baselines import LotteryTicket, PermutationSelection, Prune, distill
from skmeta.datasets import Task
from skmeta.networks import to_module
from skmeta.population import Population, run_networks
from skmeta.population.mapping import seeds_of
from skmeta.requirements import jensen_shannon
from skmeta.training import ShuffledRows
from tests.population.cases import ARCHITECTURES, trained_looking

rng = np.random.default_rng(0)
X = rng.normal(size=(150, 5))
TASK = Task(X, (X[:, 0] + X[:, 1] * X[:, 2] > 0).astype(int))
ROWS, LABELS, _ = TASK.tensors(dtype=torch.float64)

RECORDS = [trained_looking(a, seed) for seed, a in enumerate(ARCHITECTURES)]
MIXED = Population.from_records(RECORDS).to(dtype=torch.float64)
INPUTS_ENTER_ONCE = [
    i for i, a in enumerate(ARCHITECTURES) if not any(0 in layer.skips for layer in a.stages)
]
SELECTABLE = MIXED[INPUTS_ENTER_ONCE]

CRITERIA = ["random", "magnitude", "gradient", "snip", "wanda", "obd", "obs"]
RIVALS = [Prune(criterion, random_state=0) for criterion in CRITERIA]
RIVALS += [Prune("wanda", n_steps=4, random_state=0), LotteryTicket(n_steps=4, random_state=0)]
RIVALS += [
    PermutationSelection(shared=shared, n_epochs=n_epochs, batch_size=50, random_state=0)
    for shared in (True, False)
    for n_epochs in (0, 2)
]
SELECTING = [rival for rival in RIVALS if isinstance(rival, PermutationSelection)]


def networks_for(rival):
    return SELECTABLE if isinstance(rival, PermutationSelection) else MIXED


def edit(rival, networks, **params):
    return clone(rival).set_params(**params).fit(networks, task=TASK).transform(networks)


def modules(population):
    return [to_module(record) for record in population.records()]


def linears(module):
    return [block.linear for block in module.blocks]


def flat_weights(module):
    return torch.cat([linear.weight.detach().flatten() for linear in linears(module)])


# -- all rivals --------------------------------------------------------------------------


@pytest.mark.parametrize("budget", [1, 3, 10_000, 0.25, 0.6, 1.0])
@pytest.mark.parametrize("rival", RIVALS, ids=str)
def test_budgets_are_met_exactly(rival, budget):
    networks = networks_for(rival)
    if budget == 10_000 and isinstance(rival, PermutationSelection):
        with pytest.raises(ValueError, match="at most the number of inputs .* Got 10000"):
            edit(rival, networks, budget=budget)
        return
    edited = edit(rival, networks, budget=budget)
    for module, architecture in zip(modules(edited), networks.architectures, strict=True):
        if isinstance(rival, PermutationSelection):
            total, kept = 5, (linears(module)[0].weight != 0).any(0).sum()
        else:
            total = sum(linear.weight.numel() for linear in linears(module))
            kept = (flat_weights(module) != 0).sum()
        assert kept == (min(budget, total) if isinstance(budget, int) else round(budget * total))
        assert module.architecture == architecture


@pytest.mark.parametrize("rival", RIVALS, ids=str)
def test_result_does_not_depend_on_the_other_networks(rival):
    networks = networks_for(rival)
    fitted = clone(rival).fit(networks, task=TASK)
    together = modules(fitted.transform(networks))
    for i in range(0, len(networks), 3):
        (alone,) = modules(fitted.transform(networks[[i]]))
        own, among = (
            torch.cat([p.flatten() for p in m.parameters()]) for m in (alone, together[i])
        )
        assert torch.equal(own == 0, among == 0)
        torch.testing.assert_close(own, among, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rival", RIVALS, ids=str)
def test_only_what_the_mask_and_the_training_touch_changes(rival):
    networks = networks_for(rival)
    fitted = clone(rival).fit(networks, task=TASK)
    edited = fitted.transform(networks)
    again = fitted.transform(networks)
    trained = isinstance(rival, LotteryTicket) or fitted._count_steps() > 0
    for old, new, same in zip(*map(modules, (networks, edited, again)), strict=True):
        assert torch.equal(flat_weights(new), flat_weights(same))
        if not trained:
            old_state = old.state_dict()
            for name, value in new.state_dict().items():
                assert torch.equal(value, torch.where(value != 0, old_state[name], value))
                assert name.endswith("linear.weight") or torch.equal(value, old_state[name])


def test_seeds_decide_what_is_random():
    first, second, other = (
        torch.cat([flat_weights(m) for m in modules(edit(Prune("random", random_state=s), MIXED))])
        for s in (0, 0, 1)
    )
    assert torch.equal(first, second) and not torch.equal(first == 0, other == 0)


def test_random_pruning_is_uniform():
    rival, n = Prune("random", budget=0.5), 200
    edits = [edit(rival, MIXED[[1]], random_state=seed) for seed in range(n)]
    shares = sum((flat_weights(modules(e)[0]) != 0).double() for e in edits) / n
    assert (shares - 0.5).abs().max() < 4 * 0.5 / n**0.5


@pytest.mark.parametrize("rival", RIVALS, ids=str)
def test_sklearn_networks_get_exact_zeros(rival, tasks):
    train, reference, _ = tasks
    networks = [
        MLPClassifier((8,), tol=1.0, random_state=i).fit(train.X.astype(float), train.y)
        for i in (0, 1)
    ]
    fitted = clone(rival).set_params(budget=0.5).fit(networks, task=reference)
    for network in fitted.transform(networks):
        assert isinstance(network, MLPClassifier) and network.coefs_[0].dtype == np.float64
        if isinstance(rival, PermutationSelection):
            assert network.coefs_[0].any(1).sum() == 5
        elif rival.get_params().get("criterion") != "random":  # which takes logits apart
            n_kept = (network.coefs_[0] != 0).sum() + 2 * (network.coefs_[1] != 0).sum()
            assert abs(n_kept - 48) <= 1


@pytest.mark.parametrize(
    "rival, error, match",
    [
        (Prune("wandda"), ValueError, "'criterion' parameter of Prune .*Did you mean 'wanda'"),
        (Prune(budget=0), ValueError, "'budget' parameter of Pruning in Prune must be an int"),
        (Prune(budget=None), TypeError, "'budget' parameter of Prune must be a number of weights"),
        (LotteryTicket(budget=1.5), ValueError, r"'budget' .* in LotteryTicket .*\(0, 1\]"),
        (LotteryTicket(n_steps=-1), ValueError, "'n_steps' parameter of LotteryTicket"),
        (Prune(n_steps=2.5), TypeError, "'n_steps' parameter of Prune"),
        (Prune(lr=0), ValueError, "'lr' parameter of Prune"),
        (Prune(batch_size=0), ValueError, "'batch_size' parameter of Prune"),
        (Prune(n_rows=0), ValueError, "'n_rows' parameter of Prune"),
        (PermutationSelection(n_rows=0), ValueError, "'n_rows' parameter of Permut"),
        (PermutationSelection(n_repeats=0), ValueError, "'n_repeats' parameter of Permut"),
        (PermutationSelection(n_epochs=-1), ValueError, "'n_epochs' parameter of Permut"),
    ],
)
def test_bad_parameters_are_refused(rival, error, match):
    with pytest.raises(error, match=match):
        rival.fit(MIXED, task=TASK)


def test_networks_that_a_mask_does_not_fit_are_refused():
    with pytest.raises(ValueError, match="Got a skip connection from the input"):
        PermutationSelection(shared=False).fit([], task=TASK).transform(MIXED)
    with pytest.raises(ValueError, match="Prune needs networks that fit the task"):
        Prune().fit([], task=TASK).transform([nn.Linear(4, 2)])


# -- criteria ----------------------------------------------------------------------------


def slow_scores(criterion, module):
    """Scores of each weight matrix of one module, by autograd and hooks."""
    weights = [linear.weight for linear in linears(module)]
    if criterion == "magnitude":
        return [w.detach().abs() for w in weights]
    inputs = []
    for linear in linears(module):
        linear.register_forward_hook(lambda _, args, __: inputs.append(args[0].detach()))
    if criterion == "obd":
        logs = module(ROWS).log_softmax(-1)
        found = [torch.zeros_like(w) for w in weights]
        for row in logs:
            for log in row:
                gradients = torch.autograd.grad(log, weights, retain_graph=True)
                for total, g in zip(found, gradients, strict=True):
                    total += log.detach().exp() * g.square()
        return [w.detach().square() * f for w, f in zip(weights, found, strict=True)]
    loss = nn.functional.cross_entropy(module(ROWS), LABELS)
    if criterion == "wanda":
        norms = [h.pow(2).sum(0).sqrt() for h in inputs]
        return [w.detach().abs() * norm for w, norm in zip(weights, norms, strict=True)]
    gradients = torch.autograd.grad(loss, weights)
    if criterion == "gradient":
        return [g.abs() for g in gradients]
    return [(w * g).abs().detach() for w, g in zip(weights, gradients, strict=True)]


@pytest.mark.parametrize("small_pieces", [False, True])
@pytest.mark.parametrize("criterion", ["magnitude", "gradient", "snip", "obd"])
def test_the_largest_scores_of_a_network_stay(criterion, small_pieces, monkeypatch):
    if small_pieces:
        monkeypatch.setattr("skmeta.population.mapping._ON_CPU", 1000)
    edited = edit(Prune(criterion), MIXED, budget=0.4)
    for old, new in zip(modules(MIXED), modules(edited), strict=True):
        scores = torch.cat([s.flatten() for s in slow_scores(criterion, old)])
        kept = flat_weights(new) != 0
        assert scores[kept].min() >= scores[~kept].max() * (1 - 1e-9)


def test_magnitude_is_global_pruning_of_torch():
    edited = edit(Prune("magnitude"), MIXED, budget=0.3)
    for old, new in zip(modules(MIXED), modules(edited), strict=True):
        chosen = [(linear, "weight") for linear in linears(old)]
        total = sum(linear.weight.numel() for linear in linears(old))
        amount = total - round(0.3 * total)
        prune.global_unstructured(chosen, pruning_method=prune.L1Unstructured, amount=amount)
        assert torch.equal(flat_weights(old), flat_weights(new))


@pytest.mark.parametrize("budget", [0.2, 0.5, 0.7])
def test_wanda_keeps_the_same_share_of_every_row(budget):
    edited = edit(Prune("wanda"), MIXED, budget=budget)
    for old, new in zip(modules(MIXED), modules(edited), strict=True):
        for score, linear in zip(slow_scores("wanda", old), linears(new), strict=True):
            kept = linear.weight != 0
            counts = kept.sum(1)
            assert (counts - budget * score.shape[1]).abs().max() <= 1
            for row, mask in zip(score, kept, strict=True):
                assert set(row.topk(int(mask.sum())).indices.tolist()) == set(
                    mask.nonzero().flatten().tolist()
                )
            # Rows that keep one more than others have the larger scores at this rank.
            fewer = counts == counts.min()
            if not fewer.all():
                last = score.sort(dim=1, descending=True).values[:, counts.min()]
                assert last[~fewer].min() >= last[fewer].max() * (1 - 1e-9)


def test_wanda_keeps_exactly_the_share_where_it_is_a_whole_number():
    torch.manual_seed(0)
    widths = (5, 20, 15, 2)
    network = nn.Sequential(
        *(nn.Linear(5, 20), nn.ReLU(), nn.Linear(20, 15), nn.ReLU(), nn.Linear(15, 2))
    )
    (pruned,) = edit(Prune("wanda"), [network], budget=0.2)
    for layer, width in zip(pruned[::2], widths, strict=False):
        assert ((layer.weight != 0).sum(1) == width / 5).all()


# -- distillation ------------------------------------------------------------------------


def slow_distill(start, original, seed, n_steps, lr, batch_size):
    """Train one module with torch's Adam and masked gradients."""
    weights = [linear.weight for linear in linears(start)]
    masks = [(w != 0).double() for w in weights]
    optimizer = torch.optim.Adam(start.parameters(), lr=lr)
    sampler, generator = ShuffledRows(len(ROWS), batch_size), torch.Generator().manual_seed(seed)
    batches = [rows[0] for _ in range(n_steps) for rows in sampler.epoch([generator])]
    for step, rows in enumerate(batches[:n_steps]):
        optimizer.param_groups[0]["lr"] = lr * (1 - step / n_steps)
        optimizer.zero_grad()
        with torch.no_grad():
            p = original(ROWS[rows]).softmax(-1)
        q = start(ROWS[rows]).softmax(-1)
        m = (p + q) / 2
        ((p * (p / m).log() + q * (q / m).log()).sum(-1) / 2).mean().backward()
        for weight, mask in zip(weights, masks, strict=True):
            weight.grad *= mask
        optimizer.step()


def test_distillation_is_adam_with_masked_gradients():
    start = edit(Prune("magnitude"), MIXED, budget=0.6)
    settings = {"n_steps": 7, "lr": 0.01, "batch_size": 40}  # more than one pass over the rows
    distilled = modules(distill(start, MIXED, TASK, **settings, random_state=5))
    pairs = zip(modules(start), modules(MIXED), seeds_of(MIXED, 5), distilled, strict=True)
    for student, teacher, seed, got in pairs:
        slow_distill(student, teacher, seed, **settings)
        for expected, value in zip(student.parameters(), got.parameters(), strict=True):
            # A bias in front of a batch norm in evaluation mode counts; rounding is Adam's.
            torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-6)


def test_distillation_keeps_anybodys_mask_and_comes_closer():
    blocks = []
    for positions, stack in SELECTABLE.depth_blocks():
        first, *rest = stack.weights.of_field("weight")
        first = first.clone()
        first[:, :, [1, 3]] = 0.0
        weights = stack.weights.replaced(weight=(first, *rest))
        blocks.append((positions, stack.with_weights(weights)))
    start = SELECTABLE.with_blocks(blocks)
    assert distill(start, SELECTABLE, TASK, n_steps=0) is start
    distilled = distill(start, SELECTABLE, TASK, n_steps=100, lr=0.01, random_state=0)
    for module in modules(distilled):
        used = (linears(module)[0].weight != 0).any(0)
        assert used.tolist() == [True, False, True, False, True]
    before, after = (
        jensen_shannon(run_networks(SELECTABLE, TASK), run_networks(p, TASK)).mean(1)
        for p in (start, distilled)
    )
    clear = before > 1e-4  # some of these networks hardly depend on their inputs
    assert clear.sum() > 8 and (after < before)[clear].all()
    assert after.mean() < 0.9 * before.mean()


def test_distillation_wants_an_original_for_each_network():
    with pytest.raises(ValueError, match="'original' parameter of distill .* Got 2 for 3 networks"):
        distill(MIXED[:3], MIXED[:2], TASK, n_steps=1)


def test_a_lottery_ticket_has_the_mask_of_magnitude_and_fresh_weights():
    ticket = modules(edit(LotteryTicket(n_steps=0, random_state=0), MIXED, budget=0.4))
    pruned = modules(edit(Prune("magnitude"), MIXED, budget=0.4))
    for fresh, old in zip(ticket, pruned, strict=True):
        assert torch.equal(flat_weights(fresh) == 0, flat_weights(old) == 0)
        assert not torch.equal(flat_weights(fresh), flat_weights(old))
        for linear in linears(fresh):
            assert linear.weight.abs().max() <= linear.in_features**-0.5
    trained = edit(LotteryTicket(n_steps=100, lr=0.01, random_state=0), MIXED, budget=0.8)
    start = edit(LotteryTicket(n_steps=0, random_state=0), MIXED, budget=0.8)
    before, after = (
        jensen_shannon(run_networks(MIXED, TASK), run_networks(p, TASK)).mean()
        for p in (start, trained)
    )
    assert after < 0.5 * before


# -- feature selection -------------------------------------------------------------------


def slow_importances(module, orders):
    values = []
    with torch.no_grad():
        known = module(ROWS)
        for column in range(ROWS.shape[1]):
            divergences = []
            for order in orders:
                rows = ROWS.clone()
                rows[:, column] = rows[order, column]
                divergences.append(jensen_shannon(known, module(rows)).mean())
            values.append(torch.stack(divergences).mean())
    return torch.stack(values).numpy()


@pytest.mark.parametrize("shared", [True, False])
def test_the_most_important_inputs_stay(shared):
    rival = PermutationSelection(budget=2, shared=shared, n_repeats=3, random_state=0)
    rival.fit(SELECTABLE, task=TASK)
    importances = [slow_importances(m, rival._orders) for m in modules(SELECTABLE)]
    if shared:
        np.testing.assert_allclose(rival.importances_, np.mean(importances, 0), rtol=1e-9)
        importances = [rival.importances_] * len(SELECTABLE)
    edited = rival.transform(SELECTABLE)
    for module, values in zip(modules(edited), importances, strict=True):
        kept = (linears(module)[0].weight != 0).any(0).nonzero().flatten()
        assert set(kept.tolist()) == set(np.argsort(values)[-2:].tolist())


@pytest.mark.parametrize("criterion", ["gradient", "snip", "wanda", "obd", "obs"])
def test_scores_look_at_a_sample_of_the_rows(criterion):
    rival = Prune(criterion, n_rows=20, random_state=0).fit(MIXED, task=TASK)
    assert rival._sample.n_samples == 20
    whole = Prune(criterion, random_state=0).fit(MIXED, task=rival._sample)
    pairs = zip(*(modules(r.transform(MIXED)) for r in (rival, whole)), strict=True)
    assert all(torch.equal(flat_weights(a), flat_weights(b)) for a, b in pairs)


def test_permutations_are_permutations_and_differ():
    orders = PermutationSelection(n_repeats=2, random_state=0).fit(SELECTABLE, task=TASK)._orders
    assert all(torch.equal(order.sort().values, torch.arange(len(ROWS))) for order in orders)
    assert not torch.equal(*orders)


def test_a_dropped_input_no_longer_matters():
    rival = PermutationSelection(budget=2, n_epochs=3, random_state=0)
    edited = edit(rival, SELECTABLE)
    dropped = np.argsort(rival.fit(SELECTABLE, task=TASK).importances_)[:3]
    other = X.copy()
    other[:, dropped] = 1e3
    np.testing.assert_array_equal(edited.predict_proba(X), edited.predict_proba(other))


def test_more_epochs_are_more_steps():
    short, long = (
        PermutationSelection(n_epochs=n, batch_size=60).fit(SELECTABLE, task=TASK)._count_steps()
        for n in (1, 100)
    )
    assert (short, long) == (2, 200)
    wide = PermutationSelection(n_epochs=3, batch_size=10_000).fit(SELECTABLE, task=TASK)
    assert wide._count_steps() == 3
