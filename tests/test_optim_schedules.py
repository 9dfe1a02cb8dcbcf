"""Schedules of the learning rate: PyTorch's sequences over 50 steps, resumed states, bad input."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from tinymed import nn, optim
from tinymed.optim import lr_scheduler


def optimizer_of(module, tensor, name="SGD", **options):
    parameters = [module.nn.Parameter(tensor) for tensor in tensor]
    groups = [{"params": parameters[:1]}, {"params": parameters[1:], "lr": 0.02}]
    return getattr(module.optim, name)(groups, lr=0.1, **options)


class Ours:
    nn, optim = nn, optim
    schedules = lr_scheduler

    @staticmethod
    def optimizer(name="SGD", **options):
        return optimizer_of(Ours, [np.ones(1), np.ones(2)], name, **options)


def theirs():
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")

    class Theirs:
        nn, optim = torch.nn, torch.optim
        schedules = torch.optim.lr_scheduler

        @staticmethod
        def optimizer(name="SGD", **options):
            return optimizer_of(Theirs, [torch.ones(1), torch.ones(2)], name, **options)

    return Theirs


def made(side, name, args, kwargs):
    momentum = {"momentum": 0.9} if name == "OneCycleLR" else {}
    optimizer = side.optimizer(**momentum)
    return optimizer, getattr(side.schedules, name)(optimizer, *args, **kwargs)


SCHEDULES = [
    ("LambdaLR", (lambda t: 0.95**t + (t % 3),), {}),
    ("LambdaLR", ([lambda t: 1 / (t + 1), lambda t: float(t < 4)],), {}),
    ("StepLR", (7,), {}),
    ("StepLR", (1, 0.5), {}),
    ("MultiStepLR", ([3, 3, 20, 40],), {"gamma": 0.3}),
    ("ExponentialLR", (0.9,), {}),
    ("LinearLR", (), {}),
    ("LinearLR", (1.0, 0.0, 13), {}),
    ("CosineAnnealingLR", (50,), {}),
    ("CosineAnnealingLR", (8,), {"eta_min": 0.01}),
    ("OneCycleLR", (1.0,), {"total_steps": 50}),
    ("OneCycleLR", ([1.0, 0.5], 50), {"three_phase": True, "anneal_strategy": "linear", "pct_start": 0.4}),
    ("OneCycleLR", (1.0,), {"epochs": 10, "steps_per_epoch": 6, "div_factor": 10.0, "final_div_factor": 5.0}),
]


@pytest.mark.parametrize(("name", "args", "kwargs"), SCHEDULES)
def test_fifty_steps_are_pytorchs(name, args, kwargs):
    sequences = []
    for side in (Ours, theirs()):
        optimizer, schedule = made(side, name, args, kwargs)
        sequence = []
        for _ in range(50):
            rates = [group["lr"] for group in optimizer.param_groups]
            assert schedule.get_last_lr() == rates
            sequence.append([*rates, *(group["momentum"] for group in optimizer.param_groups)])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # PyTorch wants an optimizer.step() before
                schedule.step()
        sequences.append(sequence)
    np.testing.assert_allclose(*sequences, rtol=1e-9, atol=1e-12)


def test_one_cycle_moves_adams_beta1():
    sequences = []
    for side in (Ours, theirs()):
        optimizer = side.optimizer("Adam")
        schedule = side.schedules.OneCycleLR(optimizer, 1.0, 20)
        sequence = []
        for _ in range(20):
            sequence.append([optimizer.param_groups[0]["lr"], *optimizer.param_groups[1]["betas"]])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                schedule.step()
        sequences.append(sequence)
    np.testing.assert_allclose(*sequences, rtol=1e-9)


def test_one_cycle_has_an_end():
    schedule = lr_scheduler.OneCycleLR(Ours.optimizer("Adam"), 1.0, 20)
    for _ in range(20):
        schedule.step()
    with pytest.raises(ValueError, match="made for 20 steps, this is step 21"):
        schedule.step()


METRICS = [1.0, 0.9, 0.95, 0.9, 0.9, 0.89995, 0.5, math.nan, 0.6, 0.7, 0.5]
METRICS += [0.4] * 21 + [0.1] + [0.3] * 17


@pytest.mark.parametrize(
    "options",
    [
        {"patience": 2},
        {"mode": "max", "patience": 1, "factor": 0.5},
        {"patience": 1, "threshold": 0.2, "threshold_mode": "abs", "cooldown": 3},
        {"mode": "max", "threshold": 0.1, "threshold_mode": "abs", "patience": 0, "min_lr": [1e-3, 1e-2]},
        {"patience": 0, "factor": 0.1, "eps": 1e-3},
    ],
)
def test_plateau_is_pytorchs(options):
    sequences = []
    for side in (Ours, theirs()):
        optimizer = side.optimizer()
        schedule = side.schedules.ReduceLROnPlateau(optimizer, **options)
        sequence = []
        for metric in METRICS:
            schedule.step(metric)
            sequence.append([group["lr"] for group in optimizer.param_groups])
            assert schedule.get_last_lr() == sequence[-1]
        sequences.append(sequence)
    np.testing.assert_allclose(*sequences, rtol=1e-12)
    assert len({tuple(rates) for rates in sequences[0]}) > 1


def warm_up(side):
    optimizer, S = side.optimizer(), side.schedules
    parts = [
        S.LinearLR(optimizer, 0.1, total_iters=5),
        S.CosineAnnealingLR(optimizer, 20),
        S.ExponentialLR(optimizer, 0.9),
    ]
    return optimizer, S.SequentialLR(optimizer, parts, [5, 30])


def chained(side):
    optimizer, S = side.optimizer(), side.schedules
    return optimizer, [
        S.ExponentialLR(optimizer, 0.95),
        S.MultiStepLR(optimizer, [5, 11]),
        S.LinearLR(optimizer),
    ]


@pytest.mark.parametrize("make", [warm_up, chained])
def test_schedules_join_and_multiply_as_pytorchs(make):
    sequences = []
    for side in (Ours, theirs()):
        optimizer, schedules = make(side)
        sequence = []
        for t in range(50):
            sequence.append([group["lr"] for group in optimizer.param_groups])
            if t == 40:
                optimizer.param_groups[0]["lr"] *= 3  # by hand
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                for schedule in schedules if isinstance(schedules, list) else [schedules]:
                    schedule.step()
        sequences.append(sequence)
    np.testing.assert_allclose(*sequences, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["StepLR", "CosineAnnealingLR", "OneCycleLR", "SequentialLR", "ReduceLROnPlateau"])
def test_a_state_goes_on_where_it_stood(name):
    def make():
        if name == "SequentialLR":
            return warm_up(Ours)
        if name == "ReduceLROnPlateau":
            return made(Ours, name, (), {"patience": 2})
        return made(Ours, name, (20,) if name != "OneCycleLR" else (1.0, 50), {})

    def go(optimizer, schedule, steps):
        rates = []
        for k in steps:
            schedule.step(METRICS[k]) if name == "ReduceLROnPlateau" else schedule.step()
            rates.append([group["lr"] for group in optimizer.param_groups])
        return rates

    whole = go(*make(), range(40))
    optimizer, schedule = make()
    assert go(optimizer, schedule, range(17)) == whole[:17]
    again, resumed = make()
    again.load_state_dict(optimizer.state_dict())
    resumed.load_state_dict(schedule.state_dict())
    assert resumed.get_last_lr() == whole[16]
    assert go(again, resumed, range(17, 40)) == whole[17:]
    with pytest.raises(ValueError, match="no state of a"):
        resumed.load_state_dict({})


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda o: lr_scheduler.StepLR(3, 1), TypeError, "StepLR expects an optimiser, got a int"),
        (lambda o: lr_scheduler.StepLR(o, 0), ValueError, "step_size must be a whole number"),
        (lambda o: lr_scheduler.CosineAnnealingLR(o, 2.5), ValueError, "T_max must be a whole number"),
        (lambda o: lr_scheduler.LinearLR(o, 0), ValueError, "start_factor"),
        (lambda o: lr_scheduler.LambdaLR(o, [abs]), ValueError, "lr_lambda: the optimiser has 2 groups"),
        (lambda o: lr_scheduler.OneCycleLR(o, 1.0), ValueError, "epochs must be a whole number"),
        (lambda o: lr_scheduler.OneCycleLR(o, 1.0, 9, anneal_strategy="exp"), ValueError, "got 'exp'"),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o, "lowest"), ValueError, "got 'lowest' and 'rel'"),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=1), ValueError, "factor must be 0 or more"),
        (lambda o: lr_scheduler.SequentialLR(o, [], []), ValueError, "0 schedulers"),
        (
            lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.StepLR(Ours.optimizer(), 1)], []),
            ValueError,
            "belongs to another optimiser",
        ),
        (
            lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.ReduceLROnPlateau(o)], []),
            TypeError,
            "cannot join scheduler 0, a ReduceLROnPlateau",
        ),
        (
            lambda o: lr_scheduler.OneCycleLR(optim.Adagrad([nn.Parameter(np.ones(1))]), 1.0, 9),
            ValueError,
            "Adagrad has no momentum: use cycle_momentum=False",
        ),
    ],
)
def test_bad_input_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make(Ours.optimizer())
