from collections.abc import Iterable

import numpy as np
import pytest
import torch
from pyarrow import dataset as ds
from threadpoolctl import threadpool_limits

from pipelines.training import batches, devices, encoder, fitting, progress
from pipelines.training.encoding import Encoded, Encoding
from pipelines.training.fitting import Fit
from pipelines.training.network import Network
from tests.training import small


@pytest.fixture(scope="module", params=small.TASKS)
def data(request) -> tuple[Encoding, Encoded, Encoded]:
    made = small.finished(request.param)
    splits, encoding = made.catalog.load("splits"), made.catalog.load("model").description.encoding
    whole = (list(batches.ordered(splits[name], encoding, 10_000)) for name in ("train", "validation"))
    return encoding, *(parts[0] for parts in whole)


def fit(encoding: Encoding, train: Encoded, validation: Encoded, seed: int = 1, **changes) -> Fit:
    settings = small.parameters(optimisation=changes).optimisation

    def parts(epoch: int) -> Iterable[Encoded]:
        order = np.random.default_rng(epoch).permutation(train.rows)
        return (train.take(order[at : at + 128]) for at in range(0, train.rows, 128))

    with devices.deterministic(seed):
        network = Network(encoding, (16,), 0.1, 4)
        return Fit(network, encoding.target, parts, lambda: [validation], settings, "cpu", seed)


def test_the_best_weights_are_kept_and_not_the_last(data):
    encoding, train, validation = data
    wrong = {
        "binary": 1 - validation.labels,
        "multiclass": (validation.labels + 1) % 3,
        "regression": -validation.labels,
    }
    worse = Encoded(validation.codes, validation.numbers, wrong[encoding.target.task])
    found = fit(encoding, train, validation, maximum_epochs=6, patience=6)
    seen = iter([validation, validation, validation, worse, worse, worse, validation])
    found.validation = lambda: [next(seen)]
    losses = [epoch.validation_loss for epoch in found.epochs()]

    assert found.best_epoch == 1 + int(np.argmin(losses)) <= 3
    found.average.weights = {name: torch.from_numpy(weight) for name, weight in found.best.items()}
    assert found._validate() == pytest.approx(min(losses), abs=1e-6)


def test_it_stops_when_patience_epochs_brought_nothing(data):
    found = fit(*data, learning_rate=0.1, maximum_epochs=50, patience=2)
    epochs = list(found.epochs())

    assert len(epochs) == found.best_epoch + 2 < 50


def test_the_same_seed_gives_the_same_weights_with_any_number_of_threads(data):
    weights = []
    for threads, seed in ((1, 1), (2, 1), (3, 1), (1, 2)):
        with threadpool_limits(threads), devices.deterministic(seed):
            found = fit(*data, seed=seed, maximum_epochs=2)
            list(found.epochs())
        weights.append(found.best)
    one, two, three, other = weights

    for name, array in one.items():
        np.testing.assert_array_equal(array, two[name], err_msg=name)
        np.testing.assert_array_equal(array, three[name], err_msg=name)
    assert any((array != other[name]).any() for name, array in one.items())


def test_some_categories_are_hidden_so_that_unknown_is_learned(data):
    encoding = data[0]
    before = fit(*data).network.embeddings[0].weight[1].detach().clone()
    hidden, open_ = (fit(*data, unknown_share=share, maximum_epochs=1, weight_decay=0.0) for share in (0.2, 0.0))
    for found in (hidden, open_):
        list(found.epochs())

    assert encoding.categories[0].name == "town"
    assert not torch.equal(hidden.network.embeddings[0].weight[1], before)
    assert torch.equal(open_.network.embeddings[0].weight[1], before)


def test_determinism_is_switched_on_and_back_off():
    assert torch.get_deterministic_debug_mode() == 0
    with devices.deterministic(1):
        assert torch.are_deterministic_algorithms_enabled()
        first = torch.rand(1)
    assert torch.get_deterministic_debug_mode() == 0
    with devices.deterministic(1):
        assert torch.equal(torch.rand(1), first)


def test_a_device_that_is_not_there_is_one_line():
    if torch.cuda.is_available():
        assert devices.choose("auto").type == devices.choose("cuda").type == "cuda"
    else:
        assert devices.choose("auto").type == "cpu"
        with pytest.raises(devices.InputError, match=r"training.device: there is no CUDA device here; use auto or cpu"):
            devices.choose("cuda")


def test_no_bar_is_drawn_where_nobody_watches_and_every_epoch_is_logged(data, capfd, caplog):
    caplog.set_level("INFO")
    epochs = list(progress.follow(fit(*data, maximum_epochs=2).epochs, data[1].rows, 2))

    assert [record.message.split(":")[0] for record in caplog.records] == ["epoch  1", "epoch  2"]
    assert f"validation {epochs[0].validation_loss:.4f}" in caplog.text
    assert capfd.readouterr().err == ""


@pytest.mark.slow  # torch.optim imports PyTorch's compiler
def test_the_optimiser_is_the_one_that_pytorch_has():
    torch.manual_seed(0)
    ours = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    theirs.load_state_dict(ours.state_dict())
    weights, biases = ([p for p in theirs.parameters() if (p.ndim > 1) is decays] for decays in (True, False))
    reference = torch.optim.AdamW(
        [{"params": weights, "weight_decay": 0.1}, {"params": biases, "weight_decay": 0.0}], 0.01
    )
    optimiser = fitting.AdamW(ours, 0.1)
    x = torch.randn(50, 3)
    for _ in range(100):
        optimiser.forget()
        reference.zero_grad()
        for network in (ours, theirs):
            (network(x) - x[:, :1] ** 2).square().mean().backward()
        optimiser.step(0.01)
        reference.step()

    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, atol=1e-5, rtol=0)


def test_memory_of_the_sample_is_bounded_by_its_rows():
    split: ds.Dataset = small.finished("binary").catalog.load("splits")["train"]

    assert batches.head(split, ["label"], 100).num_rows == 100
    assert encoder.target(batches.head(split, ["label"], 100), "binary").task == "binary"
