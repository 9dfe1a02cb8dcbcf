"""From text to numbers: tokenisers, which cut it up, and the vocabulary, which numbers the pieces."""

from __future__ import annotations

import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, Protocol

import numpy as np

from tinymed.data.extras import needed
from tinymed.data.prepare import Preparation

PADDING, UNKNOWN = 0, 1
SPECIAL = ("<pad>", "<unk>")
_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Chinese characters
# a run of Chinese; a number with a point; else letters and digits, with hyphen or apostrophe inside
_WORD = re.compile(rf"[{_HAN}]+|\d+(?:\.\d+)+|[^\W_{_HAN}]+(?:['’-][^\W_{_HAN}]+)*")


class Tokenizer(Protocol):
    """Cuts a text into tokens; `name` is its key in TOKENIZERS, by which a run remembers it."""

    name: str

    def __call__(self, text: str) -> list[str]: ...


class CharTokenizer:
    """Every character a token, several blanks one: for any language, and for Chinese without a dictionary.

    CharTokenizer()("胸痛3天") → ["胸", "痛", "3", "天"]
    """

    name = "char"

    def __call__(self, text: str) -> list[str]:
        return list(" ".join(_plain(text).split()))


class WordTokenizer:
    """Words in lower case, signs left out; runs of Chinese characters are cut into words by jieba.

    WordTokenizer()("Beta-blockers: 2.5 mg") → ["beta-blockers", "2.5", "mg"]

    Raises ImportError at the first Chinese character where jieba (the extra "chinese") is not installed.
    """

    name = "word"

    def __call__(self, text: str) -> list[str]:
        found = _WORD.findall(_plain(text))
        return list(chain.from_iterable(_chinese(run) if re.match(f"[{_HAN}]", run) else [run] for run in found))


TOKENIZERS: dict[str, type[Tokenizer]] = {kind.name: kind for kind in (CharTokenizer, WordTokenizer)}


def _plain(text: str) -> str:
    """Full-width letters and digits as ordinary ones (Unicode's NFKC: ＣＴ → CT), in lower case."""
    return unicodedata.normalize("NFKC", text).lower()


def _chinese(run: str) -> list[str]:
    jieba = needed("jieba", "chinese", "cutting Chinese into words (CharTokenizer does without)")
    jieba.setLogLevel(logging.WARNING)  # or it tells of its dictionary at the first word
    return jieba.lcut(run)


class Vocabulary:
    """Tokens and their numbers: 0 is padding, 1 an unknown token, then the tokens of the training texts.

        vocabulary = Vocabulary(min_count=2).fit(train.texts)  # of training texts alone
        x = vocabulary.encode(test.texts, length=100)  # (N,100) int64, for nn.Embedding(len(vocabulary), ...)

    tokenizer  a WordTokenizer if None
    min_count  a token seen fewer times is unknown
    max_size   at most so many numbers, padding and unknown among them; the most frequent tokens stay

    Tokens are numbered by falling count, equal ones by the alphabet: the same texts give the same numbers.
    """

    def __init__(self, tokenizer: Tokenizer | None = None, min_count: int = 1, max_size: int | None = None) -> None:
        if min_count < 1 or (max_size is not None and max_size <= len(SPECIAL)):
            raise ValueError(f"min_count must be at least 1 and max_size above 2, got {min_count} and {max_size}")
        self.tokenizer: Tokenizer = WordTokenizer() if tokenizer is None else tokenizer
        self.min_count, self.max_size = min_count, max_size
        self._number(())

    def _number(self, tokens: Iterable[str]) -> None:
        self.tokens = (*SPECIAL, *tokens)
        self._numbers = {token: k for k, token in enumerate(self.tokens[len(SPECIAL) :], start=len(SPECIAL))}

    def __len__(self) -> int:
        return len(self.tokens)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} tokens, {self.tokenizer.name})"

    def fit(self, texts: Sequence[str]) -> Vocabulary:
        """Number the tokens of these texts, in place of what was there. Raises ValueError if none is left."""
        counts = Counter(chain.from_iterable(self._cut(texts)))
        kept = sorted((token for token in counts if counts[token] >= self.min_count), key=lambda t: (-counts[t], t))
        if not kept:
            raise ValueError(f"no token is found {self.min_count} times or more in these {len(texts)} texts")
        self._number(kept if self.max_size is None else kept[: self.max_size - len(SPECIAL)])
        return self

    def encode(self, texts: Sequence[str], length: int | None = None) -> np.ndarray:
        """The texts as numbers (N,T) int64, T = `length`, or the longest text's if None.

        A longer text is cut at its end. A shorter one is padded on the left, so that its last words stand at the
        last step, whose state a recurrent network classifies by: with zeros there, it would have to carry what it
        read across them.
        Raises ValueError for a text without any token, and before `fit`.
        """
        if len(self) == len(SPECIAL):
            raise ValueError("this vocabulary is empty: fit it on the training texts first")
        if length is not None and length < 1:
            raise ValueError(f"length must be at least 1, got {length}")
        rows = [[self._numbers.get(token, UNKNOWN) for token in tokens] for tokens in self._cut(texts)]
        length = length or max(map(len, rows), default=0)
        x = np.full((len(rows), length), PADDING, np.int64)
        for k, row in enumerate(rows):
            x[k, length - min(len(row), length) :] = row[:length]
        return x

    def decode(self, row: Any) -> list[str]:
        """The tokens of a row of numbers, padding left out; an unknown one is "<unk>"."""
        return [self.tokens[number] for number in np.asarray(row).tolist() if number != PADDING]

    def state(self) -> dict[str, Any]:
        """What `from_state` makes the same vocabulary of, as JSON knows it."""
        return {
            "tokenizer": self.tokenizer.name,
            "min_count": self.min_count,
            "max_size": self.max_size,
            "tokens": list(self.tokens[len(SPECIAL) :]),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Vocabulary:
        """Raises ValueError for what `state` has not written."""
        if missing := {"tokenizer", "min_count", "max_size", "tokens"} - set(state):
            raise ValueError(f"the state of a vocabulary lacks {', '.join(sorted(missing))}")
        if state["tokenizer"] not in TOKENIZERS:
            raise ValueError(f"there is no tokenizer {state['tokenizer']!r}; there are {', '.join(TOKENIZERS)}")
        made = cls(TOKENIZERS[state["tokenizer"]](), state["min_count"], state["max_size"])
        made._number(state["tokens"])
        if len(made._numbers) != len(state["tokens"]):
            raise ValueError("the state of a vocabulary holds a token twice")
        return made

    def _cut(self, texts: Sequence[str]) -> list[list[str]]:
        if isinstance(texts, str):
            raise TypeError("texts is one text; give a list of them")
        cut = [self.tokenizer(text) for text in texts]
        for k, tokens in enumerate(cut):
            if not tokens:
                raise ValueError(f"text {k}, {texts[k]!r}, holds no token ({self.tokenizer.name}); leave it out")
        return cut


class Words(Preparation):
    """Texts as rows of token numbers (N,length) int64, by a vocabulary of the training texts: see `Vocabulary`.

    length  tokens of a text that are read; the longest training text's if 0
    """

    longest = 0  # tokens of the longest training text

    def __init__(self, tokens: str = "word", length: int = 0, min_count: int = 2, max_size: int = 20_000) -> None:
        self.vocabulary = Vocabulary(TOKENIZERS[tokens](), min_count, max_size)
        self.length = length

    def fit(self, x: Any, y: Any = None, columns: Sequence[str] | None = None) -> Words:
        self.vocabulary.fit(x)
        self.longest = self.vocabulary.encode(x).shape[1]
        return self

    def __call__(self, x: Any) -> np.ndarray:
        return self.vocabulary.encode(x, self.length or self.longest)

    def state(self) -> dict[str, Any]:
        learnt = {"longest": self.longest, "vocabulary": self.vocabulary.state()}
        return {"kind": "Words", "length": self.length, **learnt}

    def restore(self, state: dict[str, Any]) -> None:
        self.length, self.longest = state["length"], state["longest"]
        self.vocabulary = Vocabulary.from_state(state["vocabulary"])
