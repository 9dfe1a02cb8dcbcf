"""Models for signals (N,1,T) and for texts (N,T) of word numbers.

Each builder takes the shape of one item and the number of classes, and gives a model with one logit for two
classes, a score for each of more, one number for one (regression). All is PyTorch's too: with
`from torch import Tensor, nn` for the first import, this file makes the same networks there.
"""

from __future__ import annotations

from tinymed import Tensor, nn
from tinymed.tasks.dense import outputs

CELLS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
FAR_BELOW = -1e9  # a score whose softmax is 0; −inf would make NaN of a text that is padding alone


# -------------------------------------------------------------------- signals


def cnn1d(shape: tuple[int, ...], classes: int) -> nn.Sequential:
    """A small CNN along time (article 4.1.1, 4.1.2): (N,1,T) → (N,outputs), T ≥ 16.

    z[n,o,t] = b[o] + Σ_c Σ_u w[o,c,u] · x[n,c,t+u], twice, each with ReLU and max pooling, then two dense layers.
    """
    channels, length = shape
    if length < 16:
        raise ValueError(f"cnn1d: two windows of 5, each pooled by 2, need 16 samples or more, got {length}")
    left = ((length - 4) // 2 - 4) // 2  # 140 samples: 136, 68, 64, 32
    return nn.Sequential(
        nn.Conv1d(channels, 16, 5),  # (N,C,T) → (N,16,T−4)
        nn.ReLU(),
        nn.MaxPool1d(2),
        nn.Conv1d(16, 32, 5),
        nn.ReLU(),
        nn.MaxPool1d(2),
        nn.Flatten(),  # → (N,32·left)
        nn.Linear(32 * left, 64),
        nn.ReLU(),
        nn.Linear(64, outputs(classes)),
    )


def last_state(recurrent: nn.Module, x: Tensor) -> Tensor:
    """h_T of x (N,T,I), (N,H): it tells of all that went before. Of two directions each gives its last: [h_T, h′_1]."""
    _, state = recurrent(x)
    h = state[0] if isinstance(state, tuple) else state  # an LSTM has (h, c)
    return h.transpose(0, 1).flatten(1)  # (D,N,H) → (N,D·H)


class SignalReader(nn.Module):
    """y = W·h_T + b of a signal (N,C,T), read as (N,T,C)        (article 4.2.2, without its σ, which is the loss's)"""

    def __init__(self, cell: str, inputs: int, hidden: int, outputs: int, bidirectional: bool = False) -> None:
        super().__init__()
        self.recurrent = CELLS[cell](inputs, hidden, batch_first=True, bidirectional=bidirectional)
        self.head = nn.Linear(hidden * (1 + bidirectional), outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(last_state(self.recurrent, x.transpose(1, 2)))


def rnn(shape: tuple[int, ...], classes: int, hidden: int = 64) -> SignalReader:
    """h_t = tanh(W_ih·x_t + b_ih + W_hh·h_{t−1} + b_hh)        (article 4.2.1, with tanh for its σ)"""
    return SignalReader("rnn", shape[0], hidden, outputs(classes))


def lstm(shape: tuple[int, ...], classes: int, hidden: int = 64) -> SignalReader:
    """i, f, o = σ(·), g = tanh(·);  c_t = f∘c_{t−1} + i∘g,  h_t = o∘tanh(c_t)        (article 3.3)

    The article's 4.3.1 prints the plain RNN's equation here, without gates.
    """
    return SignalReader("lstm", shape[0], hidden, outputs(classes))


def gru(shape: tuple[int, ...], classes: int, hidden: int = 64) -> SignalReader:
    """r, z = σ(·);  n = tanh(W_in·x_t + b_in + r∘(W_hn·h_{t−1} + b_hn)),  h_t = (1 − z)∘n + z∘h_{t−1}  (Cho 2014)"""
    return SignalReader("gru", shape[0], hidden, outputs(classes))


def bilstm(shape: tuple[int, ...], classes: int, hidden: int = 64) -> SignalReader:
    """Two LSTMs, one reading forwards and one backwards: y = W·[h_T, h′_1] + b        (Schuster and Paliwal 1997)"""
    return SignalReader("lstm", shape[0], hidden, outputs(classes), bidirectional=True)


# -------------------------------------------------------------------- texts: 0 is padding


class MeanEmbedding(nn.Module):
    """y = W·ē + b,  ē = Σ_t m_t·e(x_t) / Σ_t m_t; m_t is 0 where the text is padded, else 1.

    x (N,T) → y (N,outputs). The order of words is lost.
    """

    def __init__(self, vocabulary: int, dim: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, dim, padding_idx=0)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(dim, outputs)

    def weights(self, x: Tensor) -> Tensor:
        """What each word counts, (N,T): rows sum to 1, padding has 0."""
        words = (x != 0).float()
        return words / words.sum(1, keepdim=True).clamp(min=1)

    def forward(self, x: Tensor) -> Tensor:
        e = self.embedding(x)  # (N,T,E)
        mean = (self.weights(x).unsqueeze(-1) * e).sum(1)
        return self.head(self.dropout(mean))


class AttentionPooling(MeanEmbedding):
    """As MeanEmbedding, but ē = Σ_t a_t·e(x_t),  a = softmax over the words of q·e(x_t)        (after Bahdanau 2015)

    The query q is learnt: a word that matters has an embedding in its direction. `weights` shows which did.
    """

    def __init__(self, vocabulary: int, dim: int, outputs: int, dropout: float) -> None:
        nn.Module.__init__(self)  # layers in the order in which they are run, which layer_decay goes by
        self.embedding = nn.Embedding(vocabulary, dim, padding_idx=0)
        self.query = nn.Linear(dim, 1, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(dim, outputs)

    def weights(self, x: Tensor) -> Tensor:
        """The attention a of each word, (N,T): rows sum to 1, padding has 0."""
        scores = self.query(self.embedding(x)).squeeze(-1)
        return nn.functional.softmax(scores.masked_fill(x == 0, FAR_BELOW), dim=1)


class TextReader(nn.Module):
    """y = W·h_T + b of the words' embeddings e(x_t). Pad on the left: what is read last is remembered best."""

    def __init__(self, cell: str, vocabulary: int, dim: int, hidden: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, dim, padding_idx=0)
        self.dropout = nn.Dropout(dropout)
        self.recurrent = CELLS[cell](dim, hidden, batch_first=True)
        self.head = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(last_state(self.recurrent, self.dropout(self.embedding(x))))


def mean_embedding(
    shape: tuple[int, ...], classes: int, vocabulary: int, dim: int = 64, dropout: float = 0.0
) -> MeanEmbedding:
    """The mean of the words' vectors, then one linear layer: texts (N,T) int64 → (N,outputs) (Joulin 2017)."""
    return MeanEmbedding(vocabulary, dim, outputs(classes), dropout)


def attention_pooling(
    shape: tuple[int, ...], classes: int, vocabulary: int, dim: int = 64, dropout: float = 0.0
) -> AttentionPooling:
    """A mean of the words' vectors, weighted by a learnt query; `model.weights(x)` shows the weights."""
    return AttentionPooling(vocabulary, dim, outputs(classes), dropout)


def text_rnn(
    shape: tuple[int, ...], classes: int, vocabulary: int, dim: int = 64, hidden: int = 64, dropout: float = 0.0
) -> TextReader:
    """An RNN over the words' vectors, its last state read (article 4.2.1)."""
    return TextReader("rnn", vocabulary, dim, hidden, outputs(classes), dropout)


def text_lstm(
    shape: tuple[int, ...], classes: int, vocabulary: int, dim: int = 64, hidden: int = 64, dropout: float = 0.0
) -> TextReader:
    """An LSTM over the words' vectors, its last state read (article 3.3)."""
    return TextReader("lstm", vocabulary, dim, hidden, outputs(classes), dropout)
