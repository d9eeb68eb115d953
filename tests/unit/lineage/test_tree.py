"""The tree of a chain on the terminal."""

from stock_volume.lineage.digests import parameters_digest
from tests.unit.lineage_helpers import (
    FEATURES,
    PRICES,
    daily,
    drawn,
    file,
    first_run,
    history_of,
    logged,
    monitored,
    sha,
    trace,
    update,
)


def test_tree_draws_a_diamond_once() -> None:
    """What was drawn already is only named."""
    days, deeper = parameters_digest({"window_days": 30})[:8], parameters_digest(5)[:8]
    text = drawn(history_of([first_run()]), "service:v1", prices="prices 1", features="other")
    assert text.splitlines() == [
        "service  service:v1  in the store",
        "by package in run 1",
        "└── model  model:v1  in the store",
        "    by register in run 1",
        f"    ├── features  {FEATURES}  sha256 {sha('features 1')[:12]}  changed since",
        f"    │   by engineer in run 1, parameters features {days}, deep.er {deeper}",
        f"    │   └── prices  {PRICES}  sha256 {sha('prices 1')[:12]}  unchanged",
        "    │       by ingest in run 1",
        f"    │       └── raw_bars  /raw/archive.zip  sha256 {sha('archive')[:12]}  gone  raw",
        "    └── counts  content not recorded",
        "        by describe in run 1",
        f"        └── prices  {sha('prices 1')[:12]}  see above",
        "",
        "run 1  run-1  ended 2026-01-01T20:00:00+00:00  code c0ffee",
        "",
        f"deep.er   {deeper}  5",
        f"features  {days}  window_days=30",
    ]


def test_raw_data_that_a_run_did_not_get_is_labelled() -> None:
    """A run without events has no file of them to record."""
    run = first_run()
    run["inputs"] = {}
    text = drawn(history_of([run]), "service:v1", prices="prices 1")
    assert "raw_bars  none given  raw" in text


def test_tree_sums_up_all_but_the_latest_run_of_a_node() -> None:
    """Of many updates the latest is drawn, then how many there were and their raw files."""
    text = drawn(daily(12), "prices", prices="prices 12")
    assert text.count("by merge in run") == 1
    assert "… 10 more runs of merge, 2026-01-02 to 2026-01-11" in text
    assert "raw_bars  10 versions  gone  raw" in text
    assert "prices (as held_prices)" in text
    assert text.count("by ingest in run") == 1
    assert "/raw/archive.zip" in text


def test_tree_in_full_has_every_run_and_file() -> None:
    """Asked for all, the tree follows each run and names each file of a folder."""
    assert drawn(daily(12), "prices", in_full=True).count("by merge in run") == 11
    history = history_of([logged(1), logged(2), monitored(3, 1, 2)])
    assert f"1.parquet  {sha('log 1')[:12]}  gone" in drawn(history, "verdict", in_full=True)
    assert "2 files in /d/log" in drawn(history, "verdict")


def test_long_chains_are_followed_to_their_end() -> None:
    """A chain of thousands of updates is followed without recursion."""
    runs = [first_run()]
    for number in range(2, 5001):
        run = update(2, f"prices {number - 1}")
        run["run_id"] = f"run-{number:05}"
        run["outputs"] = {"prices": file(PRICES, f"prices {number}")}
        runs.append(run)
    history = history_of(runs)
    assert len(trace(history, "prices").artefacts) == 5000 + 2
    assert "… 4998 more runs of merge" in drawn(history, "prices")


def test_failed_run_is_named_as_such() -> None:
    """The list of runs names the node at which a run failed."""
    assert "failed at forecast" in drawn(
        history_of([{**first_run(), "failed": "forecast"}]), "prices"
    )
