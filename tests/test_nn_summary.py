"""summary(): parameters and multiply-adds counted by hand, and a model left as it was."""

from __future__ import annotations

import pytest

import tinymed
from tinymed import nn


def article_network():
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(1600, 128), nn.ReLU(), nn.Linear(128, 1), nn.Sigmoid()),
    )


def test_the_articles_network():
    s = nn.summary(article_network(), (1, 1, 28, 28))
    assert s.total_params == s.trainable_params == 223_873
    assert [row.params for row in s.rows if row.params] == [320, 18_496, 204_928, 129]
    assert [row.macs for row in s.rows if row.macs] == [
        9 * 32 * 26 * 26,
        9 * 32 * 64 * 11 * 11,
        1600 * 128,
        128,
    ]
    assert s.total_macs == 2_629_888
    assert s.param_bytes == 4 * 223_873
    assert s.rows[2].output_shape == (1, 32, 13, 13)
    outputs = 2 * 32 * 26 * 26 + 32 * 13 * 13 + 2 * 64 * 11 * 11 + 2 * 64 * 5 * 5 + 2 * 128 + 2
    assert s.activation_bytes == 4 * outputs
    text = str(s)
    assert text == repr(s)
    assert "3 (Conv2d)" in text
    assert "223,873 to be trained, 0 not" in text
    assert "895 kB" in text
    assert len({len(line) for line in text.splitlines()[:3]}) == 1
    assert '<td style="text-align:left">3 (Conv2d)</td>' in s._repr_html_()
    assert '<td style="text-align:right">18,496</td>' in s._repr_html_()


def test_the_model_is_left_as_it_was():
    net = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(), nn.Flatten(), nn.Linear(12, 2))
    net[1].eval()
    net[3].requires_grad_(False)
    before = {k: v.numpy().copy() for k, v in net.state_dict().items()}
    s = nn.summary(net, (5, 3, 2, 2))
    assert (s.total_params, s.trainable_params) == (32, 6)
    assert [m.training for m in net] == [True, False, True, True]
    assert not any(m._hooks for m in net.modules())
    assert all((v.numpy() == before[k]).all() for k, v in net.state_dict().items())
    with pytest.raises(ValueError, match=r"^in 3 \(Linear"):
        nn.summary(net, (5, 3, 4, 4))
    assert not any(m._hooks for m in net.modules())
    assert net.training


def test_costs_of_layers():
    def macs(layer, size, **how):
        return nn.summary(layer, size, **how).total_macs

    assert macs(nn.Linear(3, 4), (2, 5, 3)) == 2 * 5 * 3 * 4
    assert macs(nn.Conv2d(4, 6, 3, groups=2, padding=1), (2, 4, 5, 5)) == 2 * 25 * 6 * 2 * 9
    assert macs(nn.ConvTranspose2d(4, 6, 2, stride=2), (1, 4, 5, 5)) == 25 * 4 * 6 * 4
    assert macs(nn.ConvReLU6Pool(1, 2, 3), (1, 1, 8, 8)) == 36 * 2 * 9
    assert macs(nn.BatchNorm1d(3), (4, 3)) == 0
    assert macs(nn.Embedding(10, 3), (2, 5), dtype=tinymed.int64) == 0
    assert macs(nn.LSTM(3, 4), (7, 2, 3)) == 7 * 2 * 16 * (3 + 4)
    assert macs(nn.GRU(3, 4, bidirectional=True), (7, 2, 3)) == 2 * 7 * 2 * 12 * (3 + 4)


def test_shared_and_composite_layers():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3, 3)
            self.scale = nn.Parameter(tinymed.ones(3))

        def forward(self, x, y):
            return self.fc(self.fc(x)) * self.scale + y

    s = nn.summary(Twice(), [(2, 3), (1, 3)])
    assert [(row.path, row.params, row.macs) for row in s.rows] == [("fc", 12, 18), ("fc", 0, 18), ("", 3, 0)]
    assert s.total_params == 15
    s = nn.summary(nn.LSTM(3, 4), (7, 2, 3))
    assert s.rows[0].output_shape == [(7, 2, 4), (1, 2, 4), (1, 2, 4)]
