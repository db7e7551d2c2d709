"""The pocket models' tokenizer: whole words from a small list, so that its table stays small.

open_clip's own tokenizer has 49,408 entries, more parameters than a whole pocket model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.base.files import write_text
from analysis.base.roots import ROOT

if TYPE_CHECKING:
    from torch import Tensor

TOKENIZER = ROOT / "data" / "pocket" / "tokenizer.json"
PADDING, UNKNOWN, FIRST_WORD = 0, 1, 2


def words_of(text: str) -> list[str]:
    """Split a caption into lower-case words of letters and digits."""
    return re.findall(r"[^\W_]+", text.lower())


@dataclass(frozen=True)
class WordTokenizer:
    """A list of words and the length to which texts are padded or cut.

    Indices: 0 padding, 1 any word that is not listed, then the words, then the marks of start and
    end. The end has the largest index, which is where open_clip reads the text's representation.
    """

    words: tuple[str, ...]
    context_length: int

    @classmethod
    def from_captions(cls, captions: Iterable[str], context_length: int = 16) -> WordTokenizer:
        """List every word of the captions, in alphabetical order."""
        return cls(
            tuple(sorted({word for text in captions for word in words_of(text)})), context_length
        )

    @classmethod
    def load(cls, path: Path = TOKENIZER) -> WordTokenizer:
        """Read a tokenizer from its JSON file."""
        content = json.loads(path.read_text(encoding="utf-8"))
        return cls(tuple(content["words"]), content["context_length"])

    def save(self, path: Path = TOKENIZER) -> None:
        """Write the tokenizer as JSON, one word a line."""
        content = {"context_length": self.context_length, "words": self.words}
        write_text(path, json.dumps(content, indent=0, ensure_ascii=False) + "\n")

    @property
    def vocab_size(self) -> int:
        """Number of indices: the words, padding, unknown, start and end."""
        return FIRST_WORD + len(self.words) + 2

    @cached_property
    def _index(self) -> dict[str, int]:
        return {word: FIRST_WORD + i for i, word in enumerate(self.words)}

    def __call__(self, texts: str | Sequence[str]) -> Tensor:
        """Return the indices, int64 of shape (texts, context_length)."""
        import torch

        texts = [texts] if isinstance(texts, str) else texts
        tokens = torch.full((len(texts), self.context_length), PADDING, dtype=torch.int64)
        start, end = self.vocab_size - 2, self.vocab_size - 1
        for row, text in zip(tokens, texts, strict=True):
            words = [self._index.get(word, UNKNOWN) for word in words_of(text)]
            line = [start, *words[: self.context_length - 2], end]
            row[: len(line)] = torch.tensor(line)
        return tokens
