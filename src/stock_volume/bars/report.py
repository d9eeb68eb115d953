"""The section on data quality of the report."""

from collections.abc import Mapping, Sequence

from stock_volume.bars.ledger import FileStatus
from stock_volume.bars.quality import QualityReport
from stock_volume.events.account import report_events


def report_data(quality: QualityReport, verdict: Sequence[str] = ()) -> str:
    """Write the verdict and the section on data quality.

    Args:
        quality: The quality of the ingested data.
        verdict: The verdict on the forecaster, in sentences.

    Returns:
        Markdown.
    """
    rules = [
        *_list_rules(quality.quarantined_by_rule, "rejected"),
        *_list_rules(quality.flagged_by_rule, "flagged, kept"),
    ]
    troubled = [f"- `{one.file}` ({one.status}): {one.note}" for one in quality.troubled_files]
    return "\n".join(
        [
            "# Report",
            "",
            *(["## In short", "", *verdict, ""] if verdict else []),
            "## Data",
            "",
            _summarize(quality),
            "",
            *([_warn_of_constant(quality.constant_volume), ""] if quality.constant_volume else []),
            *(["| rule | fate | rows |", "|---|---|---:|", *rules, ""] if rules else []),
            *([*troubled, ""] if troubled else []),
            *(report_events(quality.events) if quality.events else []),
            "",
        ]
    )


def _summarize(quality: QualityReport) -> str:
    rows = quality.rows
    unused = [
        f"{count:,} {status.replace('_', ' ')}"
        for status, count in quality.files.items()
        if count and status not in {"found", FileStatus.READ}
    ]
    found, read = quality.files["found"], quality.files[FileStatus.READ]
    rest = f" ({', '.join(unused)})" if unused else ""
    return (
        f"{quality.symbols:,} symbols, {quality.first_date} to {quality.last_date}. Of "
        f"{rows.read:,} rows read, {rows.kept:,} were kept and {rows.quarantined:,} quarantined. "
        f"Of {found:,} files, {read:,} were read{rest}."
    )


def _warn_of_constant(volume: int) -> str:
    return (
        f"**All volumes are {volume:,}.** Nothing can be learned from volumes that do not vary, "
        "and some measures are undefined. Did the source write its volumes into another column?"
    )


def _list_rules(counts: Mapping[str, int], fate: str) -> list[str]:
    return [f"| {rule} | {fate} | {count:,} |" for rule, count in counts.items() if count]
