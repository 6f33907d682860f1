"""The tokenizer of the small world: CLIP's, with a small vocabulary in which each word is one token."""

from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision_core.editing.hub import prepare
from vision_core.smallworld import grammar

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

LENGTH = 40  # the longest caption has 37 tokens
START, END = "<|startoftext|>", "<|endoftext|>"


@lru_cache(1)
def tokenizer() -> "CLIPTokenizer":
    """Words of the grammar are single tokens, other words are split into letters. END has the largest id."""
    prepare()
    from transformers import CLIPTokenizer

    vocabulary, merges = _vocabulary()
    pairs: Any = merges  # pairs are accepted despite the annotation
    return CLIPTokenizer(
        vocab=vocabulary,
        merges=pairs,
        model_max_length=LENGTH,
        bos_token=START,
        eos_token=END,
        unk_token=END,
        pad_token=END,
    )


def _vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """The vocabulary (letters, letters at the end of a word, merged pieces) and the merges in order."""
    letters = _bytes()
    merges: dict[tuple[str, str], int] = {}
    for word in grammar.words():
        while len(pieces := _merged(word, merges)) > 1:
            merges[pieces[0], pieces[1]] = len(merges)
    pieces = [*letters, *(f"{letter}</w>" for letter in letters), *(a + b for a, b in merges), START, END]
    return {piece: n for n, piece in enumerate(dict.fromkeys(pieces))}, [*merges]


def _merged(word: str, merges: dict[tuple[str, str], int]) -> list[str]:
    """Byte-pair encoding: apply the merges in order of their rank."""
    pieces = [*word[:-1], f"{word[-1]}</w>"]
    while candidates := [pair for pair in pairwise(pieces) if pair in merges]:
        pair = min(candidates, key=merges.__getitem__)
        k = list(pairwise(pieces)).index(pair)
        pieces[k : k + 2] = [pair[0] + pair[1]]
    return pieces


def _bytes() -> list[str]:
    """The 256 printable characters that represent bytes in byte-level BPE."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [256 + n for n in range(256 - len(printable))]
    return [chr(code) for code in (*printable, *others)]


def size() -> int:
    return len(_vocabulary()[0])


def save_pretrained(folder: Path) -> None:
    tokenizer().save_pretrained(folder)
