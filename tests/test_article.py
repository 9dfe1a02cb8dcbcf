"""Every row of the article's numbers: what it prints, what its equations give, and how the two come about."""

import numpy as np
import pytest

import tinymed
import tinymed.nn.functional as F
from tinymed.kernels.reference import article_rnn
from tinymed.teach import findings


@pytest.fixture(scope="module")
def found():
    return {(f.where, f.formula.split()[0]): f for f in findings()}


def numbers(finding):
    return list(finding.computed.values())


def test_the_convolution_is_not_what_is_printed(found):
    f = found["4.1.3", "convolution"]
    assert f.printed == [[5, 6], [8, 9]]
    assert f.computed["convolution"] == [[6, 8], [12, 14]]
    assert f.computed["max pooling of the input, window 2, stride 1"] == f.printed
    assert f.computed["the same with stride 2, rounded up"] == f.printed
    assert f.computed["convolution with [[0, 0], [0, 1]]"] == f.printed
    assert not f.agrees
    assert "misprint" in f.verdict


def test_no_reading_of_max_pooling_gives_what_is_printed(found):
    f = found["4.1.3", "max"]
    assert numbers(f) == [[[14]], [[8], [14]], [[6], [9]], [[8, 9]], [5, 9]]
    readings = [np.ravel(value).tolist() for name, value in f.computed.items() if "diagonal" not in name]
    assert f.printed == [[5], [9]]
    assert [5, 9] not in readings
    assert not f.agrees


def test_hidden_states(found):
    f = found["4.2.3", "h_t"]
    exact, rounded = numbers(f)
    assert exact == [0.8808, 0.9798, 0.9932]
    assert rounded == pytest.approx([1 / (1 + np.exp(-a)) for a in (2, 4, 5)], abs=5e-5)  # the article's 2, 4, 5
    assert [round(h) for h in exact] == [round(h) for h in rounded] == f.printed == [1, 1, 1]


def test_hidden_states_are_sigma_of_the_numbers_that_design_names(found):
    h, _ = article_rnn([1, 2, 3], [0], [[1, 1]], [1], [[1]], [1])
    inside = [2, 1 + h[0, 0] + 2, 1 + h[1, 0] + 3]
    assert inside == pytest.approx([2, 3.8808, 4.9798], abs=5e-5)
    np.testing.assert_allclose(h[:, 0], 1 / (1 + np.exp(-np.array(inside))))


def test_outputs(found):
    f = found["4.2.3", "y_t"]
    exact, rounded = numbers(f)
    assert exact == [0.9406, 0.9507, 0.952]
    assert rounded == [0.9526] * 3
    assert [round(y) for y in exact] == f.printed


def test_the_printed_shapes_do_not_fit(found):
    f = found["4.2.3", "W_h·[h₀,"]
    (said,) = numbers(f)
    assert "must be 2x3" in said
    assert "got W_h 2x2" in said
    with pytest.raises(ValueError, match="2x3"):
        article_rnn([1, 2, 3], [0, 1], np.ones((2, 2)), [1, 1], np.ones((2, 2)), [1, 1])
    h, _ = article_rnn([1, 2, 3], [0, 1], np.ones((2, 3)), [1, 1], np.ones((2, 2)), [1, 1])
    assert h.shape == (3, 2)


def test_the_lstm_is_no_plain_rnn(found):
    f = found["4.3.1", "h_t"]
    plain, gated = numbers(f)
    assert plain == [0.8808, 0.9798, 0.9932]  # what 4.3.3 prints is 4.2.3 again
    lstm = tinymed.nn.LSTM(1, 1)
    with tinymed.no_grad():
        for name, p in lstm.named_parameters():
            p.fill_(0.0 if name == "bias_hh_l0" else 1.0)
        output, _ = lstm(tinymed.tensor([[1.0], [2.0], [3.0]]))
    assert output.numpy()[:, 0] == pytest.approx(gated, abs=5e-5)
    assert np.abs(np.array(plain) - gated).max() > 0.01


def test_convolution_is_cross_correlation(found):
    f = found["4.1.1", "Σ"]
    as_it_stands, flipped = numbers(f)
    image, kernel = np.arange(1, 10).reshape(3, 3), np.array([[1, 2], [3, 4]])
    for i in range(2):
        for j in range(2):
            window = image[i : i + 2, j : j + 2]
            assert as_it_stands[i][j] == (window * kernel).sum()
            assert flipped[i][j] == (window * kernel[::-1, ::-1]).sum()


def test_the_listing_is_corrected_and_its_network_has_the_articles_size(found):
    f = found["5.2", "the"]
    assert f.computed["parameters of its network"] == 320 + 18_496 + 204_928 + 129
    assert not f.agrees


def test_relu6_and_softmax_are_parts():
    assert F.relu6(tinymed.tensor([-1.0, 3.0, 7.0])).tolist() == [0, 3, 6]
    assert F.softmax(tinymed.tensor(np.log([1.0, 2.0, 5.0])), 0).tolist() == pytest.approx([1 / 8, 2 / 8, 5 / 8])
    tinymed.manual_seed(0)
    layer, x = tinymed.nn.ConvReLU6Pool(1, 2, 3), 20 * tinymed.randn(1, 1, 8, 8)
    y = F.max_pool2d(F.relu6(F.conv2d(x, layer.conv.weight, layer.conv.bias)), 2)
    assert y.shape == (1, 2, 3, 3)
    assert layer(x).tolist() == y.tolist()
