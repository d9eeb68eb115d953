"""The configuration as every way to a session reads it."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kedro.framework.project import configure_project
from kedro.framework.session import KedroSession

from stock_volume.configuration import (
    ConfigurationHook,
    Entries,
    ProjectConfigLoader,
    environments,
    make_paths_absolute,
)
from stock_volume.project import project_file
from stock_volume.runtime_parameters import ParameterError, RawValue
from stock_volume.settings import CONFIG_LOADER_CLASS, HOOKS

PROJECT = Path(__file__).parents[2]
LOCAL = """
raw_bars:
  type: stock_volume.datasets.SourceDataset
  source:
    type: stock_volume.sources.archive.ArchiveSource
    location: {source}
    landing: data/01_raw
"""


@pytest.fixture(autouse=True, scope="module")
def _project() -> None:
    configure_project("stock_volume")


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A copy of the project's configuration."""
    for name in ("base", "http", "yahoo", "kaggle"):
        shutil.copytree(PROJECT / "conf" / name, tmp_path / "conf" / name)
    (tmp_path / "conf" / "local").mkdir()
    return tmp_path / "conf"


def loaded(conf: Path, env: str | None = None, **given: Any) -> ProjectConfigLoader:
    """Load configuration as a session does, with runtime parameters."""
    loader = ProjectConfigLoader(str(conf), env, given, base_env="base", default_run_env="local")
    context: Any = SimpleNamespace(config_loader=loader, project_path=conf.parent)
    ConfigurationHook().after_context_created(context=context)
    return loader


def test_the_project_uses_them() -> None:
    """Kedro takes the loader and the hook on every way to a session."""
    assert CONFIG_LOADER_CLASS is ProjectConfigLoader
    assert any(isinstance(hook, ConfigurationHook) for hook in HOOKS)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [("a{b}", "a{b}"), ("/x/Run #2", "/x/Run #2"), ("2024_02_15", "2024_02_15"), ("~/b", "home/b")],
)
def test_layers_go_where_data_root_was_typed(
    conf: Path, monkeypatch: pytest.MonkeyPatch, typed: str, expected: str
) -> None:
    """Every layer is below it: from home for ~, from the project for a relative path."""
    monkeypatch.setenv("HOME", str(conf.parent / "home"))
    catalog = loaded(conf, data_root=RawValue(typed))["catalog"]
    root = conf.parent / expected
    assert catalog["prices"]["filepath"] == f"{root}/02_intermediate/prices.parquet"
    assert catalog["raw_bars"]["source"]["landing"] == f"{root}/01_raw"
    assert catalog["forecast_log"]["path"] == f"{root}/07_model_output/forecast_log"


def test_relative_paths_mean_the_project(conf: Path) -> None:
    """Whatever the current folder, what is relative is the project's."""
    root = conf.parent
    catalog = loaded(conf, source=RawValue("007"))["catalog"]
    assert catalog["raw_bars"] | {"metadata": None} == {
        "type": "stock_volume.datasets.SourceDataset",
        "source": {
            "type": "stock_volume.sources.archive.ArchiveSource",
            "location": f"{root}/007",
            "landing": f"{root}/data/01_raw",
        },
        "metadata": None,
    }
    assert catalog["service_bento"]["path"] == project_file("bentofile.yaml")
    assert catalog["tuned_parameters"]["filepath"].startswith(f"{root}/conf/tuned/")
    asked = loaded(conf, "yahoo", symbols=RawValue("lists/a b.csv"))["catalog"]["raw_bars"]
    assert asked["source"]["symbols"] == f"{root}/lists/a b.csv"


@pytest.mark.parametrize("source", ["sample", "s3://bucket/a#b.zip", "https://x.org/a.zip?k=1,2"])
def test_an_address_and_the_sample_are_no_paths(conf: Path, source: str) -> None:
    """They stay as typed."""
    entry = loaded(conf, source=RawValue(source))["catalog"]["raw_bars"]
    assert entry["source"]["location"] == source


def test_a_name_that_begins_with_a_tilde_is_a_name(tmp_path: Path) -> None:
    """Only a user's home is expanded."""
    entry = {"a": {"filepath": "~nobody-of-this-name/x.csv"}}
    assert make_paths_absolute(entry, tmp_path) == {
        "a": {"filepath": f"{tmp_path}/~nobody-of-this-name/x.csv"}
    }


def test_the_landing_of_a_source_of_ones_own_is_rooted(tmp_path: Path) -> None:
    """What else such a dataset takes is its own affair."""
    source: Entries = {
        "type": "mine.Bars",
        "landing": "data/01_raw",
        "location": "a",
        "symbols": [7],
    }
    entry: Entries = {"type": "stock_volume.datasets.SourceDataset", "source": source}
    expected = {**entry, "source": {**source, "landing": f"{tmp_path}/data/01_raw"}}
    assert make_paths_absolute({"raw_bars": entry}, tmp_path) == {"raw_bars": expected}


def test_files_of_events_are_rooted(conf: Path) -> None:
    """Files are paths, services of events are words, and by default there are none."""
    root = conf.parent.as_posix()
    for given, files in (
        ("a.csv", f"{root}/a.csv"),
        ("[a, b.csv, edgar]", [f"{root}/a", f"{root}/b.csv", "edgar"]),
        ("nasdaq", "nasdaq"),
    ):
        source = loaded(conf, "base", events=RawValue(given))["catalog"]["raw_events"]["source"]
        assert source["files"] == files
    assert loaded(conf, "base")["catalog"]["raw_events"]["source"]["files"] is None


def test_symbols_and_an_address_reach_their_dataset(conf: Path) -> None:
    """Lists are texts, and braces of the address stay."""
    entry = loaded(
        conf,
        "http",
        url=RawValue("https://x.org/{symbol}.csv?a=1,2"),
        symbols=RawValue("[AAPL, ON, 0050]"),
    )["catalog"]["raw_bars"]
    assert entry["source"]["server"]["url"] == "https://x.org/{symbol}.csv?a=1,2"
    assert entry["source"]["symbols"] == ["AAPL", "ON", "0050"]


def test_a_share_is_a_number(conf: Path) -> None:
    """A value whose default is a number is one."""
    entry = loaded(conf, "yahoo", max_failed_share=RawValue("0.5"))["catalog"]["raw_bars"]
    assert entry["source"]["max_failed_share"] == 0.5


@pytest.mark.parametrize(
    ("env", "given", "message"),
    [
        (None, {"sourse": "X"}, r"no parameter sourse; did you mean source\?"),
        (None, {"backtest": {"trainstart": "2018"}}, r"did you mean backtest\.train_start\?"),
        (None, {"backtest.trainstart": "2018"}, r"did you mean backtest\.train_start\?"),
        (None, {"backtest.least_sessions": 5}, "is now called backtest.min_sessions"),
        (None, {"url": "X"}, "url does nothing here: use it with --env http$"),
        (None, {"symbols": ["A"]}, "use it with --env http or --env yahoo"),
        ("http", {"url": "X", "source": "x"}, "the environment http has another entry raw_bars"),
        ("http", {}, "the parameter url is missing"),
        (None, {"symbols": [True, 7203]}, "symbols does nothing here"),
        ("yahoo", {"symbols": [True, 7203]}, r"symbols must be text, and is True \(bool\)"),
        (
            None,
            {"backtest": {"train_start": "soon"}},
            r"backtest\.train_start = 'soon': Input shou",
        ),
        (None, {"backtest": 5}, r"backtest = 5: Input should be a valid dictionary"),
        (None, {"estimator.learning_rate": -1}, r"estimator\.learning_rate = -1: .*greater than 0"),
    ],
)
def test_parameters_are_checked_before_anything_runs(
    conf: Path, env: str | None, given: dict[str, Any], message: str
) -> None:
    """Unknown, idle, missing, broken and impossible ones are refused with a remedy."""
    with pytest.raises(ParameterError, match=message):
        loaded(conf, env, **given)


def test_a_former_name_in_a_file_is_refused_with_the_new_one(conf: Path) -> None:
    """A file written for an earlier version names the parameter to rename."""
    former = "forecaster:\n  least_sessions: 60\n"
    (conf / "local" / "parameters.yml").write_text(former, encoding="utf-8")
    with pytest.raises(ParameterError, match=r"^the parameter forecaster\.least_sessions is now c"):
        loaded(conf)


def test_parameters_that_are_not_configured_exist_by_their_model(conf: Path) -> None:
    """The last date that is not in the future has no fixed default, and can be given."""
    parameters = loaded(conf, **{"ingestion.as_of": RawValue("2021-01-04")})["parameters"]
    assert parameters["ingestion"]["as_of"] == "2021-01-04"
    assert parameters["ingestion"]["chunk_mib"] == 6.0


@pytest.mark.parametrize("source", ["007", "2024_02_15", "yes", "~", "[a, b]"])
def test_a_catalog_that_yaml_broke_is_refused(conf: Path, source: str) -> None:
    """An entry of one's own without quotes is not taken for another file."""
    (conf / "local" / "catalog.yml").write_text(LOCAL.format(source=source), encoding="utf-8")
    with pytest.raises(
        ParameterError, match=r"raw_bars\.source\.location must be text.* location: '007'"
    ):
        loaded(conf)


def test_an_entry_of_ones_own_is_rooted_and_makes_source_idle(conf: Path) -> None:
    """Its paths mean the project too, and a parameter that it replaces is refused."""
    (conf / "local" / "catalog.yml").write_text(LOCAL.format(source="a/b.zip"), encoding="utf-8")
    entry = loaded(conf)["catalog"]["raw_bars"]
    assert entry["source"]["location"] == f"{conf.parent}/a/b.zip"
    with pytest.raises(ParameterError, match="environment local has another entry raw_bars"):
        loaded(conf, source="x.zip")


def test_parameters_of_ones_own_exist(conf: Path) -> None:
    """What local configuration has or asks for is known, by the type of its default."""
    (conf / "local" / "parameters.yml").write_text("mine: {a: 1}\n", encoding="utf-8")
    (conf / "local" / "catalog.yml").write_text(
        LOCAL.format(source="'${runtime_params:folder}/${runtime_params:number, 1}.zip'"),
        encoding="utf-8",
    )
    loader = loaded(conf, folder=RawValue("a #1"), number=RawValue("2"), mine={"a": 3})
    assert loader["catalog"]["raw_bars"]["source"]["location"] == f"{conf.parent}/a #1/2.zip"
    assert loader["parameters"]["mine"] == {"a": 3}


def test_environments_are_folders(conf: Path) -> None:
    """Archives of configuration list none."""
    assert environments(conf) == ["base", "http", "kaggle", "local", "yahoo"]
    assert environments(conf / "conf.tar.gz") == []


@pytest.mark.filterwarnings("ignore:Accessing the 'model_fields'")  # by Kedro
def test_a_notebook_gets_the_same_and_the_error_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that a program creates has absolute paths, and raises what a command explains."""
    monkeypatch.setenv("HOME", "/home/of-mine")
    session = KedroSession.create(PROJECT, runtime_params={"data_root": Path("~/bars #2")})
    catalog: Any = session.load_context().catalog
    place = catalog["prices"].path
    assert place == Path("/home/of-mine/bars #2/02_intermediate/prices.parquet")
    with pytest.raises(ParameterError, match="no parameter sourse"):
        KedroSession.create(PROJECT, runtime_params={"sourse": "X"}).load_context()


@pytest.mark.parametrize(
    ("typed", "expected"), [("%m/%d/%Y", "%m/%d/%Y"), ("'%d.%m.%Y'", "%d.%m.%Y"), ("null", None)]
)
def test_fields_that_are_text_are_taken_as_typed(
    conf: Path, typed: str, expected: str | None
) -> None:
    """The format of a date, which is no YAML, needs no second pair of quotes."""
    parameters = loaded(conf, ingestion={"date_format": RawValue(typed)})["parameters"]
    assert parameters["ingestion"]["date_format"] == expected
