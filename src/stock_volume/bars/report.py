"""The section on data quality of the report."""

from collections.abc import Mapping
from typing import Any


def report_data(quality: Mapping[str, Any]) -> str:
    """Write the section on data quality.

    Args:
        quality: The result of ``report_quality``.

    Returns:
        Markdown.
    """
    rows, files = quality["rows"], quality["files"]
    rules = [
        *(f"| {rule} | rejected | {count:,} |" for rule, count in _met(quality, "quarantined")),
        *(f"| {rule} | flagged, kept | {count:,} |" for rule, count in _met(quality, "flagged")),
    ]
    troubled = [
        f"- `{file['file']}` ({file['status']}): {file['note']}"
        for file in quality["troubled_files"]
    ]
    return "\n".join(
        [
            "# Report",
            "",
            "## Data",
            "",
            (
                f"{quality['symbols']:,} symbols, {quality['first_date']} to "
                f"{quality['last_date']}. Of {rows['read']:,} rows read, {rows['kept']:,} were "
                f"kept and {rows['quarantined']:,} quarantined. Of {files['found']:,} files, "
                f"{files['read']:,} were read, {files['empty']:,} empty and "
                f"{files['unreadable']:,} unreadable."
            ),
            "",
            *([_constant(quality["constant_volume"]), ""] if quality["constant_volume"] else []),
            *(["| rule | fate | rows |", "|---|---|---:|", *rules, ""] if rules else []),
            *([*troubled, ""] if troubled else []),
            "",
        ]
    )


def _constant(volume: int) -> str:
    return (
        f"**All volumes are {volume:,}.** Nothing can be learned from volumes that do not vary, "
        "and some measures are undefined. Did the source write its volumes into another column?"
    )


def _met(quality: Mapping[str, Any], fate: str) -> list[tuple[str, int]]:
    return [(rule, count) for rule, count in quality[f"{fate}_by_rule"].items() if count]
