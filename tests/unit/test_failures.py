"""What a user reads when a command fails."""

from pathlib import Path

import pytest
from kedro.config import MissingConfigException
from kedro.io import DatasetError
from kedro.pipeline import Pipeline
from pydantic import BaseModel

from stock_volume.errors import SourceError, UnbalancedRowsError
from stock_volume.failures import Failure, explain, full_traceback, save_traceback


class Bounds(BaseModel):
    """A model with one field."""

    share: float


def raised(error: Exception, cause: Exception | None = None) -> Exception:
    """Raise an error, and give it back with its traceback."""
    with pytest.raises(type(error)) as caught:
        raise error from cause
    return caught.value


def test_our_own_error_speaks_for_itself() -> None:
    """Where Kedro wraps it in the name of a class, its own words are what is wrong."""
    error = raised(
        DatasetError(
            "raw_bars: Failed while loading data from dataset a.b.C(x='y').\nbars.zip: no"
        ),
        SourceError("bars.zip: no such file or folder"),
    )
    error.add_note("in the node ingest_bars")
    text = "bars.zip: no such file or folder (in the node ingest_bars)"
    assert explain(error) == Failure(is_known=True, text=text)
    assert explain(UnbalancedRowsError("a\n  b")) == Failure(is_known=True, text="a b")


@pytest.mark.parametrize(
    "error",
    [
        DatasetError("prices: no such file"),
        MissingConfigException("no folder"),
        PermissionError(13, "Permission denied", "/x"),
    ],
)
def test_errors_that_are_meant_for_users_are_known(error: Exception) -> None:
    """They are repeated as they are."""
    assert explain(raised(error)) == Failure(is_known=True, text=str(error))


def test_a_package_that_is_not_installed_is_known() -> None:
    """Extras are the user's choice."""
    error = raised(ModuleNotFoundError("No module named 'optuna'"))
    assert explain(error).is_known
    assert explain(error).text.startswith("No module named 'optuna'; it comes with an extra")


def test_what_kedro_refuses_is_known() -> None:
    """The name of a node that does not exist is a user's mistake, and no fault."""
    with pytest.raises(ValueError, match="nope") as caught:
        Pipeline([]).only_nodes("nope")
    assert explain(caught.value) == Failure(
        is_known=True, text="Pipeline does not contain nodes named ['nope']."
    )


def test_a_model_names_field_value_and_rule() -> None:
    """A validation error needs none of pydantic's addresses."""
    with pytest.raises(ValueError, match="share") as caught:
        Bounds.model_validate({"share": "half"})
    is_known, text = explain(raised(DatasetError("of a dataset"), caught.value))
    assert is_known
    assert text.startswith("share = 'half': Input should be a valid number")
    assert "http" not in text


def test_a_fault_of_ours_is_named_as_one() -> None:
    """An unexpected error is brief, with its type."""
    assert explain(raised(ZeroDivisionError("by zero"))) == Failure(
        is_known=False, text="ZeroDivisionError: by zero"
    )
    assert explain(raised(ValueError("ours"))).is_known is False


def test_a_long_message_is_cut() -> None:
    """A paragraph remains one."""
    assert len(explain(SourceError("word " * 1000)).text) < 1600


def test_secrets_of_addresses_are_nowhere() -> None:
    """Neither the paragraph nor the traceback has the query of an address."""
    cause = raised(OSError("500 for https://x.org/A.csv?apikey=SECRET"))
    error = raised(SourceError("https://x.org/A.csv?apikey=SECRET: failed"), cause)
    assert "SECRET" not in explain(error).text
    text = full_traceback(error)
    assert "https://x.org/A.csv?…" in text
    assert "SECRET" not in text


def test_the_traceback_is_kept_where_that_is_possible(tmp_path: Path) -> None:
    """The last error's traceback is in the file; no folder is no second error."""
    path = tmp_path / "logs" / "error.log"
    save_traceback(raised(SourceError("before")), path)
    assert save_traceback(raised(SourceError("now"), KeyError("cause")), path) == path
    text = path.read_text(encoding="utf-8")
    assert "before" not in text
    assert text.index("KeyError") < text.index("SourceError: now")
    assert save_traceback(SourceError("no"), path / "x.log") is None


def test_traceback_may_have_names_that_are_not_utf8(tmp_path: Path) -> None:
    """Such bytes are escaped and do not raise another error."""
    path = tmp_path / "error.log"
    assert save_traceback(raised(SourceError("/caf\udce9: no such file")), path) == path
    assert r"/caf\udce9: no such file" in path.read_text(encoding="utf-8")
