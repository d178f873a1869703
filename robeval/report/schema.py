"""The published JSON Schema: ``python -m robeval.report.schema > docs/summary.schema.json`` writes it."""

from __future__ import annotations

import json
import sys
from typing import Any

from robeval.results.records import SCHEMA, Summary


def summary_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of `--json` and of `report --format json`."""
    schema = Summary.model_json_schema(mode="serialization", by_alias=True)
    schema["properties"]["schema"] = {"const": SCHEMA, "description": "version of this document's form"}
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "robeval summary"}
    return head | {key: value for key, value in schema.items() if key != "title"}


def schema_text() -> str:
    """The text of docs/summary.schema.json."""
    return json.dumps(summary_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_text())
