"""Find symbols by text: exact parts of symbols and names, and similar spellings."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl
from rapidfuzz import fuzz, process

from stock_volume import columns
from stock_volume.snapshot.snapshot import DOLLAR_VOLUME

_RANK: Final = "_rank"
_ROW: Final = "_row"
_LOWER_SYMBOL: Final = "_lower_symbol"
_LOWER_NAME: Final = "_lower_name"
_WORD: Final = re.compile(r"\w+")
_MAX_SUGGESTIONS: Final = 5
_MIN_SYMBOL_SIMILARITY: Final = 50
_MIN_WORD_SIMILARITY: Final = 75
_MIN_WORD: Final = 3
"""Letters of a word that is compared: of shorter ones almost any two are similar."""

_MAX_WORDS: Final = 8


def similar_symbols(symbol: str, known: Mapping[str, Sequence[str]]) -> list[str]:
    """Find symbols of similar spelling, ignoring case, by the normalized Indel similarity.

    Args:
        symbol: The text.
        known: The symbols, by their form in upper case.

    Returns:
        At most five symbols, the most similar first.
    """
    alike = process.extract(
        symbol.upper(),
        known.keys(),
        scorer=fuzz.ratio,
        limit=_MAX_SUGGESTIONS,
        score_cutoff=_MIN_SYMBOL_SIMILARITY,
    )
    found = [spelling for upper_case, *_ in alike for spelling in known[upper_case]]
    return found[:_MAX_SUGGESTIONS]


class SymbolSearch:
    """Searches symbols and the names of their securities."""

    def __init__(self, symbols: pl.DataFrame) -> None:
        """Order the symbols, and index the words of the names.

        Args:
            symbols: Rows of ``Snapshot.symbols``.
        """
        self._symbols = symbols.sort(
            DOLLAR_VOLUME, columns.SYMBOL, descending=[True, False], nulls_last=True
        )
        name = pl.col(columns.SECURITY_NAME).str.to_lowercase().fill_null("")
        self._lower_case = self._symbols.select(
            pl.col(columns.SYMBOL).str.strip_chars().str.to_lowercase().alias(_LOWER_SYMBOL),
            (pl.lit(" ") + name).alias(_LOWER_NAME),
        )
        self._rows_of_word: dict[str, set[int]] = {}
        names = self._symbols.select(columns.SYMBOL, columns.SECURITY_NAME)
        for row, (symbol, name) in enumerate(names.iter_rows()):
            for word in {symbol.lower(), *_WORD.findall((name or "").lower())}:
                if len(word) >= _MIN_WORD:
                    self._rows_of_word.setdefault(word, set()).add(row)

    def matches(self, query: str) -> pl.DataFrame:
        """Find symbols by the start of the symbol, or by any part of the name.

        Args:
            query: What to look for; empty for all.

        Returns:
            Rows of ``Snapshot.symbols``: the symbol itself first, then those that start
            with the query, then those whose name has a word that does, then the others;
            within each group, the most traded first.
        """
        wanted = query.strip().lower()
        symbol, name = pl.col(_LOWER_SYMBOL), pl.col(_LOWER_NAME)
        rank = (
            pl.when(symbol == wanted)
            .then(0)
            .when(symbol.str.starts_with(wanted))
            .then(1)
            .when(name.str.contains(f" {wanted}", literal=True))
            .then(2)
            .when(name.str.contains(wanted, literal=True))
            .then(3)
        )
        ranked = (
            self._lower_case.select(rank.alias(_RANK), pl.int_range(pl.len()).alias(_ROW))
            .drop_nulls()
            .sort(_RANK, maintain_order=True)
        )
        return self._symbols[ranked[_ROW]]

    def similar(self, query: str) -> pl.DataFrame:
        """Find symbols despite typing errors.

        Args:
            query: What to look for.

        Returns:
            Rows of ``Snapshot.symbols``, at most five: those where each word of the query is
            similar to the symbol or to a word of the name, the most similar first, and the
            most traded first of those that are equally similar.
        """
        words = _WORD.findall(query.lower())[:_MAX_WORDS]
        if not words or min(map(len, words)) < _MIN_WORD:
            return self._symbols.clear()
        scores = [self._score(word) for word in words]
        rows = sorted(set.intersection(*map(set, scores)))
        similarity = [sum(score[row] for score in scores) for row in rows]
        return (
            self._symbols[rows]
            .with_columns(pl.Series(_RANK, similarity, pl.Float64))
            .sort(_RANK, descending=True, maintain_order=True)
            .head(_MAX_SUGGESTIONS)
            .drop(_RANK)
        )

    def _score(self, word: str) -> dict[int, float]:
        """Score the rows with a similar word by the normalized Indel similarity."""
        alike = process.extract(
            word,
            self._rows_of_word.keys(),
            scorer=fuzz.ratio,
            limit=None,
            score_cutoff=_MIN_WORD_SIMILARITY,
        )
        scores: dict[int, float] = {}
        for found, score, _ in alike:  # in descending order of the score
            for row in self._rows_of_word[found]:
                scores.setdefault(row, score)
        return scores
