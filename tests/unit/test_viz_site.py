"""The static site of Kedro-Viz."""

from importlib.resources import files

from stock_volume.viz_site import clean_page

PAGE = files("kedro_viz").joinpath("html/index.html").read_text(encoding="utf-8")


def test_the_page_loads_nothing_from_elsewhere() -> None:
    """The fonts of Google are gone, and the scripts of the site stay."""
    assert "https://" in PAGE
    cleaned = clean_page(PAGE)
    assert "https://" not in cleaned
    assert cleaned.count('src="') == PAGE.count('src="')


def test_the_first_visit_has_no_tour() -> None:
    """The settings are there before the application reads them."""
    cleaned = clean_page(PAGE)
    assert cleaned.index("showFeatureHints") < cleaned.index('<script type="module"')
    assert "<title>stock_volume: the pipeline</title>" in cleaned
