"""Queries and passages from JSON Lines."""

from pathlib import Path

from robeval_datasets.ranking.files import json_text, texts_of
from robeval_datasets.ranking.tsv import TSV


class JSONLines(TSV):
    """Queries and passages as JSON lines with ``id`` and ``contents`` (or ``text``); judgements and runs as for `tsv`.

    Source: the file formats of Anserini and BEIR (arXiv:2104.08663).
    """

    @staticmethod
    def texts(path: Path) -> dict[str, str]:
        """The texts of a file by id."""
        return texts_of(path, json_text)
