"""The service's page in a browser, over HTTP, on the forecasts of the embedded sample."""

import csv
import io
import json
import math
import re
import shutil
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from tests.e2e.runs import Run, serving

CHROMIUM = next(filter(None, map(shutil.which, ["chromium", "chromium-browser"])), None)
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PROBLEM_JSON = "application/problem+json"
PATIENCE_MS = 15_000
"""How long anything may take to appear: the machine may have other work."""

DATA = re.compile(r"(?<!/static)/(symbols|forecasts?|models|predict)\b")
"""Addresses of the API, without the page's files."""

WATCH_POLICY = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
"""

# Text that is too pale, as WCAG 2.2 counts it: below 4.5 to 1 on the nearest background.
PALE_TEXT = """
() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => channels(colour).slice(0, 3)
    .map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (node) => {
    const colour = getComputedStyle(node).backgroundColor;
    return channels(colour)[3] === 0 && node.parentElement ? ground(node.parentElement) : colour;
  };
  const texts = [...document.querySelectorAll("body *")].filter((node) =>
    node.checkVisibility() && !node.closest(".hidden") &&
    [...node.childNodes].some((c) => c.nodeType === 3 && c.textContent.trim()));
  return texts.flatMap((node) => {
    const pair = [light(getComputedStyle(node).color), light(ground(node))];
    const contrast = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    return contrast < 4.5 ? [`${node.textContent.trim()}: ${contrast.toFixed(2)}`] : [];
  });
}
"""


FONT_SIZES = """
() => [...document.querySelectorAll("body *")]
  .filter((node) => node.checkVisibility() && node.textContent.trim() && !node.closest("svg"))
  .map((node) => Number.parseFloat(getComputedStyle(node).fontSize))
"""

OPEN_ALL = "(all) => all.forEach((one) => { one.open = true; })"
FIRST_PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"

# A function of a module of the page, called with each list of arguments.
CALLED = """
async ([module, name, calls]) => {
  const made = (await import(`/static/${module}`))[name];
  return calls.map((call) => made(...call));
}
"""


@pytest.fixture(scope="module")
def api(sample_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of the service that the page is of."""
    with serving(sample_run, tmp_path_factory.mktemp("page"), "stock_volume:latest") as client:
        yield client


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright:
        expect.set_options(timeout=PATIENCE_MS)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, api: httpx.Client) -> Iterator[Page]:
    """An empty tab, with a session of its own."""
    with browser.new_context(base_url=str(api.base_url)) as context:
        context.set_default_timeout(PATIENCE_MS)
        yield context.new_page()


def answer(api: httpx.Client, path: str) -> Any:
    response = api.get(path)
    assert response.status_code == httpx.codes.OK, response.text
    return response.json()


def open_symbol(page: Page, symbol: str) -> None:
    page.goto(f"/#{symbol}")
    expect_symbol(page, symbol)
    expect(page.locator("#forecast-figure")).to_be_visible()
    expect_all_loaded(page)


def expect_symbol(page: Page, symbol: str) -> None:
    expect(page.locator("h1 .symbol")).to_have_text(symbol)


def expect_all_loaded(page: Page) -> None:
    expect(page.locator("main")).not_to_have_attribute("aria-busy", "true")


def choose_range(page: Page, name: str) -> None:
    page.get_by_role("radio", name=name).check(force=True)
    expect(page.locator("#status")).to_have_text(re.compile(f"^{name}: "))


def refuse(route: Route, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
    body = json.dumps({"title": "Problem", "status": status, "detail": detail})
    route.fulfill(
        status=status, headers={**(headers or {}), "content-type": PROBLEM_JSON}, body=body
    )


def hold(page: Page, addresses: str) -> list[Route]:
    """Let requests wait until the test has them go on."""
    held: list[Route] = []

    def keep(route: Route) -> None:
        held.append(route)

    page.route(addresses, keep)
    return held


def pictures(page: Page) -> list[str]:
    drawn: list[str] = page.locator("canvas").evaluate_all(
        "(canvases) => canvases.map((canvas) => canvas.toDataURL())"
    )
    return drawn


def wait_for_other_pictures(page: Page, before: list[str]) -> None:
    """Wait until every chart is redrawn: a page may do so after its style sheet applies."""
    page.wait_for_function(
        """(before) => {
          const now = [...document.querySelectorAll("canvas")].map((canvas) => canvas.toDataURL());
          return now.length === before.length && !now.some((one, place) => one === before[place]);
        }""",
        arg=before,
    )


def open_screener(page: Page, address: str = "/") -> None:
    page.goto(address)
    expect(page.locator("#screen-count")).not_to_be_empty()
    expect_all_loaded(page)


def listed(page: Page) -> list[str]:
    """Symbols of the rows in view, in order."""
    return page.locator("#screen .title .symbol").all_text_contents()


def whole_market(api: httpx.Client, count: int = 8049) -> dict[str, Any]:
    """As many rows as the full archive has symbols, each different, from those of the sample."""
    rows = answer(api, "/forecasts")["symbols"]
    return {
        "model": "made up",
        "symbols": [
            {
                **rows[number % len(rows)],
                "symbol": f"S{number:04}",
                "dollar_volume": 1e9 / (1 + number),
                "busier_sessions": number % 61,
                "quieter_sessions": 60 - number % 61,
                "etf": number % 5 == 0,
            }
            for number in range(count)
        ],
    }


def test_start_page_lists_all_forecasts(page: Page, api: httpx.Client) -> None:
    """The screener has a row for each symbol, with what the API answers, the most traded first."""
    open_screener(page)
    rows = answer(api, "/forecasts")["symbols"]
    assert listed(page) == [row["symbol"] for row in rows]
    expect(page.locator("#subtitle")).to_have_text(
        "Next session: Monday, 4 March 2013, out of date"
    )
    expect(page.locator("#screen-count")).to_have_text(f"{len(rows)} symbols")
    for row, shown in zip(rows, page.locator("#screen tbody:not(.spacer) tr").all(), strict=True):
        cell = shown.locator("td").nth(1)
        expect(cell).to_have_attribute("title", re.compile(f"^{row['forecast']:,} shares on "))
        busier, quieter = row["busier_sessions"], row["quieter_sessions"]
        words = f"quieter than {busier}" if busier >= quieter else f"busier than {quieter}"
        expect(shown.locator(".unusual")).to_contain_text(f"{words} of {row['recent_sessions']}")
        error = "\u2013" if row["mdape"] is None else f"{row['mdape']:.1f}\u202f%"
        expect(shown.locator(".error-column")).to_have_text(error)
    page.locator("#screen .title a").first.click()
    expect_symbol(page, rows[0]["symbol"])


def test_rows_are_sorted_and_filtered(page: Page, api: httpx.Client) -> None:
    """Headings sort, controls filter, and the address keeps both over a reload."""
    page.route("**/forecasts", lambda route: route.fulfill(json=whole_market(api, 300)))
    open_screener(page)
    page.get_by_role("button", name="Unusual").click()
    assert page.locator("#screen .unusual .among").first.text_content() == "busier than 60 of 60"
    expect(page.locator("th[aria-sort]")).to_have_text("Unusual")
    page.get_by_role("button", name="Unusual").click()
    expect(page.locator("th[aria-sort]")).to_have_attribute("aria-sort", "ascending")
    assert page.locator("#screen .unusual .among").first.text_content() == "quieter than 60 of 60"
    page.get_by_label("Unusually busy").check()
    page.get_by_label("Kind").select_option("ETFs")
    busy = [number for number in range(300) if number % 61 <= 6 and number % 5 == 0]
    expect(page.locator("#screen-count")).to_have_text(f"{len(busy)} of 300 symbols")
    page.get_by_label("Filter", exact=True).fill("s00")
    few = [number for number in busy if number < 100]
    expect(page.locator("#screen-count")).to_have_text(f"{len(few)} of 300 symbols")
    shown = listed(page)
    assert sorted(shown) == [f"S{number:04}" for number in few]
    page.reload()
    expect(page.locator("#screen-count")).to_have_text(f"{len(few)} of 300 symbols")
    assert listed(page) == shown
    page.get_by_label("Filter", exact=True).fill("nothing of this name")
    expect(page.locator("#screen-empty")).to_be_visible()
    page.get_by_role("button", name="Clear filters").click()
    expect(page.locator("#screen-count")).to_have_text("300 symbols")
    expect(page.get_by_label("Filter", exact=True)).to_be_focused()
    page.get_by_label("Dollars a day").select_option("Over 100 M")
    expect(page.locator("#screen-count")).to_have_text("10 of 300 symbols")


def test_table_is_used_by_keyboard(page: Page, api: httpx.Client) -> None:
    """Arrows, pages and the ends move through all rows, w watches, Enter opens."""
    page.route("**/forecasts", lambda route: route.fulfill(json=whole_market(api)))
    open_screener(page)
    page.locator("#screen .title a").first.focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator("#screen .title a", has_text="S0001")).to_be_focused()
    page.keyboard.press("End")
    last = page.locator("#screen .title a", has_text="S8048")
    expect(last).to_be_focused()
    expect(last).to_be_in_viewport()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("w")
    expect(page.get_by_role("button", name="Watch S8047")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("PageUp")
    page.keyboard.press("Home")
    expect(page.locator("#screen .title a", has_text="S0000")).to_be_focused()
    expect(page.get_by_role("grid")).to_have_attribute("aria-rowcount", "8050")
    # One row alone can be reached by Tab.
    assert page.locator("#screen tbody a[tabindex='0']").count() == 1
    page.get_by_label("Watchlist").check()
    expect(page.locator("#screen-count")).to_have_text("1 of 8,049 symbols")
    page.reload()
    expect(page.locator("#screen-count")).to_have_text("1 of 8,049 symbols")
    page.locator("#screen .title a").focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("#S8047$"))


def test_whole_market_is_painted_within_a_second(page: Page, api: httpx.Client) -> None:
    """With 8,049 symbols the page is painted soon, few rows are elements, and all are reached."""
    market = whole_market(api)
    page.route("**/forecasts", lambda route: route.fulfill(json=market))
    paints = []
    for _ in range(3):  # the machine may have other work
        open_screener(page)
        paints.append(page.evaluate(FIRST_PAINT))
    assert min(paints) < 1000
    rows = page.locator("#screen tbody:not(.spacer) tr")
    assert rows.count() < 60
    seen = page.evaluate(
        """async () => {
          const [host, seen] = [document.getElementById("screen"), new Set()];
          for (let top = 0; top < host.scrollHeight; top += host.clientHeight / 2) {
            host.scrollTop = top;
            await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
            for (const link of host.querySelectorAll(".title .symbol")) seen.add(link.textContent);
            if (top > 12_000) break;
          }
          return [...seen];
        }"""
    )
    assert sorted(seen) == [f"S{number:04}" for number in range(len(seen))]
    assert len(seen) > 280


def test_table_is_downloaded(page: Page, api: httpx.Client) -> None:
    """The rows that are shown are downloaded as CSV, with full numbers."""
    open_screener(page)
    page.get_by_label("Filter", exact=True).fill("apple")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    assert download.value.suggested_filename == "forecasts_2013-03-04.csv"
    (row,) = csv.DictReader(io.StringIO(download.value.path().read_text(encoding="utf-8")))
    forecast = answer(api, "/forecast/AAPL")
    assert (row["symbol"], row["security_name"]) == ("AAPL", forecast["security_name"])
    assert int(row["forecast"]) == forecast["forecast"]
    assert int(row["q90"]) == forecast["quantiles"]["q90"]


def test_cells_of_a_download_are_quoted(page: Page) -> None:
    """Separators, quotes and line breaks are quoted, and no text can be run as a formula."""
    page.goto("/")
    with page.expect_download() as download:
        rows = [['say "hi"', None], ["=1+1", -1.5], ["two\nlines", "ä"]]
        page.evaluate(CALLED, ["csv.js", "downloadCsv", [["a/b c", ["x", "y,z"], rows]]])
    assert download.value.suggested_filename == "a_b_c.csv"
    lines = list(csv.reader(io.StringIO(download.value.path().read_bytes().decode(), newline="")))
    assert lines == [
        ["x", "y,z"],
        ['say "hi"', ""],
        ["'=1+1", "-1.5"],
        ["two\nlines", "ä"],
    ]


def test_failed_list_can_be_tried_again(page: Page) -> None:
    """Where the list fails the page says so, and search works all the same."""
    page.route("**/forecasts", lambda route: refuse(route, 500, "busy"))
    page.goto("/")
    expect(page.locator("#problem")).to_contain_text("busy")
    page.unroute_all()
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#screen-count")).to_have_text("5 symbols")


def test_slash_goes_to_the_search(page: Page) -> None:
    """A slash focuses the search; typed into a field it is a character."""
    open_screener(page)
    page.keyboard.press("/")
    expect(page.locator("#query")).to_be_focused()
    expect(page.locator("#query")).to_have_value("")
    page.keyboard.type("a/b")
    expect(page.locator("#query")).to_have_value("a/b")


@pytest.mark.parametrize(("typed", "symbol"), [("aple", "AAPL"), ("microsft", "MSFT")])
def test_search_forgives_typos(page: Page, typed: str, symbol: str) -> None:
    """A misspelled name lists what is similar; Enter, once it is listed, takes the first."""
    page.goto("/")
    page.locator("#query").fill(typed)
    expect(page.locator("#found [role=option]").first).to_have_attribute("data-symbol", symbol)
    expect(page.locator("#more")).to_contain_text("these are similar")
    page.locator("#query").press("Enter")
    expect_symbol(page, symbol)


def test_theme_is_kept(page: Page) -> None:
    """The switch goes from the system's theme to light to dark, and a reload keeps the choice."""
    page.emulate_media(color_scheme="dark")
    open_symbol(page, "AAPL")
    before = pictures(page)
    switch, body = page.get_by_role("button", name="Theme:"), page.locator("body")
    switch.click()
    expect(switch).to_have_text("Theme: light")
    expect(body).to_have_css("background-color", "rgb(244, 246, 248)")
    wait_for_other_pictures(page, before)
    page.reload()
    expect(body).to_have_css("background-color", "rgb(244, 246, 248)")
    switch.click()
    page.emulate_media(color_scheme="light")
    expect(body).to_have_css("background-color", "rgb(15, 20, 26)")
    switch.click()
    expect(body).to_have_css("background-color", "rgb(244, 246, 248)")


def test_symbol_and_range_are_in_the_address(page: Page, api: httpx.Client) -> None:
    """A link opens a symbol with its range; another range changes the address, and its CSV."""
    page.goto("/#IBM?range=12")
    expect_symbol(page, "IBM")
    expect(page.get_by_role("radio", name="1 year")).to_be_checked()
    expect(page.locator("#price .plot")).to_have_attribute("aria-label", re.compile("^Adjusted"))
    choose_range(page, "2 years")
    expect(page).to_have_url(re.compile(r"#IBM\?range=24$"))
    page.reload()
    expect(page.get_by_role("radio", name="2 years")).to_be_checked()
    choose_range(page, "3 months")
    expect(page).to_have_url(re.compile("#IBM$"))
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text(encoding="utf-8"))))
    bars = [
        bar
        for bar in answer(api, "/symbols/IBM/history?days=731")["bars"]
        if bar["Date"] > "2012-12-01"
    ]
    assert [(row["Date"], int(row["Volume"])) for row in rows] == [
        (bar["Date"], bar["Volume"]) for bar in bars
    ]


def test_symbols_are_compared(page: Page) -> None:
    """Up to four symbols stand side by side, are kept in the address, and can be removed."""
    open_symbol(page, "IBM")
    for symbol in ("MSFT", "GOOG", "FB"):
        page.locator("#compare-query").fill(symbol)
        page.locator("#compare-query").press("Enter")
        expect(page.locator("#compare th[scope=col]", has_text=symbol)).to_be_visible()
    expect(page.locator("#compare-search")).to_be_hidden()
    expect(page).to_have_url(re.compile("#IBM.compare=MSFT&compare=GOOG&compare=FB$"))
    page.reload()
    expect(page.locator("#compare canvas")).to_have_count(2)
    heads = page.locator("#compare th[scope=col]")
    expect(heads).to_have_count(4)
    page.get_by_role("button", name="Remove GOOG").click()
    expect(heads).to_have_count(3)
    expect(page).to_have_url(re.compile("#IBM.compare=MSFT&compare=FB$"))
    expect(page.locator("#compare tbody tr", has_text="Typical error")).to_contain_text("%")
    page.goto("/#IBM?compare=NOPE")
    expect(page.locator("#compare")).to_contain_text("There is no such symbol: NOPE")


def test_horizons_are_listed_where_there_are_any(page: Page, api: httpx.Client) -> None:
    """Sessions and totals beyond the next session are in a table; without any there is none."""
    none = {**answer(api, "/forecast/IBM"), "horizons": []}
    page.route("**/forecast/IBM", lambda route: route.fulfill(json=none))
    open_symbol(page, "IBM")
    expect(page.locator("#horizons")).to_have_count(0)
    bounds = {"q10": 1_000_000, "q90": 9_000_000}
    horizons = [
        {"horizon": "h2", "session": "2013-03-05", "forecast": 3_000_000, **bounds},
        {"horizon": "total_5", "session": "2013-03-08", "forecast": 5_000_000, **bounds},
    ]
    forecast = {**answer(api, "/forecast/AAPL"), "horizons": horizons}
    page.route("**/forecast/AAPL", lambda route: route.fulfill(json=forecast))
    open_symbol(page, "AAPL")
    page.get_by_text("Beyond the next session").click()
    expect(page.locator("#horizons tbody tr")).to_have_text(
        [
            re.compile("5 March 20133,000,0001,000,000 to 9,000,000$"),
            re.compile("^Next 5 sessions in all, to 8 Mar 20135,000,000.*1,000,000$"),
        ]
    )


def test_forecast_at_the_open_takes_the_price(page: Page, api: httpx.Client) -> None:
    """The page shows the API's answer for a price, and explains why a price is invalid."""
    open_symbol(page, "AAPL")
    page.get_by_text("Has the session opened?").click()
    price, button = (
        page.get_by_label("Opening price"),
        page.get_by_role("button", name="at the open"),
    )
    close = answer(api, "/symbols/AAPL/history?days=1")["bars"][-1]["Close"]
    price.fill(f"{1.03 * close:,.2f}")
    button.click()
    expected = answer(api, f"/forecast/AAPL/open?price={1.03 * close:.2f}")
    shown = page.locator("#opening-answer")
    expect(shown).to_contain_text(f"({expected['forecast']:,}) with a gap of +3.0")
    expect(shown.locator("data")).to_have_count(4)
    volumes = [expected["forecast"], *(expected["quantiles"][name] for name in ("q10", "q90"))]
    for place, volume in enumerate([*volumes, expected["before"]]):
        expect(shown.locator("data").nth(place)).to_have_attribute("value", str(volume))
    price.fill(f"{4 * close:.2f}")
    button.click()
    expect(shown).to_contain_text("Beware: the gap is larger than any that counts")
    for typed, message in (("", "Enter a number."), ("0", "must be greater than 0")):
        price.fill(typed)
        button.click()
        expect(page.locator("#opening-error")).to_have_text(re.compile(message, re.IGNORECASE))
        expect(price).to_have_attribute("aria-invalid", "true")
        expect(shown).to_be_empty()


def test_forecast_is_explained(page: Page, api: httpx.Client) -> None:
    """The kinds of features that move the forecast are named as the API names them."""
    open_symbol(page, "AAPL")
    explained = answer(api, "/forecast/AAPL/explanation")
    effects = page.locator("#explanation .effects li")
    expect(effects).to_have_text([kind["text"] for kind in explained["kinds"]])
    page.get_by_text("The features behind it").click()
    expect(page.locator("#explanation tbody tr")).to_have_count(
        sum(len(kind["features"]) for kind in explained["kinds"])
    )
    page.get_by_text("What does the interval mean?").click()
    expect(page.locator("#meaning p")).to_contain_text("Of ten sessions like this one")
    expect(page.locator("#remedy code").first).to_contain_text("kedro run --pipelines update")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_no_rule_of_accessibility_is_broken(page: Page, scheme: str, width: int) -> None:
    """The checker axe finds nothing on any view; once also with all tables open, which are long."""
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": width, "height": 900})
    views = {
        "/": "#screen .title a",
        "/#AAPL?compare=IBM": "#compare canvas",
        "/#/estimator?symbol=IBM": "#estimate-hint:not(:empty)",
        "/#APPL": "#near button",
    }
    for address, shown in views.items():
        page.goto(address)
        expect(page.locator(shown).first).to_be_visible()
        expect_all_loaded(page)
        if (scheme, width) == ("light", 1280):
            page.locator("details").evaluate_all(OPEN_ALL)
        broken = Axe().run(page)
        assert broken.violations_count == 0, broken.generate_report()


def test_symbol_is_chosen_by_keyboard(page: Page) -> None:
    """Typing, an arrow and Enter choose a symbol; Escape closes the list."""
    open_screener(page)
    page.keyboard.press("Tab")
    expect(page.locator("#skip")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    query = page.locator("#query")
    expect(query).to_be_focused()
    page.keyboard.type("m")
    expect(page.locator("#found [role=option]").first).to_be_visible()
    expect(query).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("Escape")
    expect(page.locator("#found")).to_be_hidden()
    expect(query).to_have_attribute("aria-expanded", "false")
    page.keyboard.type("sf")
    expect(page.locator("#found [role=option]")).to_have_count(1)
    page.keyboard.press("ArrowDown")
    marked = page.locator("#found [aria-selected=true]")
    expect(query).to_have_attribute("aria-activedescendant", marked.get_attribute("id") or "")
    page.keyboard.press("Enter")
    expect_symbol(page, "MSFT")
    expect(page).to_have_url(re.compile("#MSFT$"))
    expect(page.locator("#status")).to_contain_text("MSFT: forecast of")


def test_typed_symbol_needs_no_list(page: Page) -> None:
    """Enter right after the last letter takes the symbol as typed, in whatever case."""
    page.goto("/")
    page.locator("#query").fill("ibm")
    page.keyboard.press("Enter")
    expect_symbol(page, "IBM")


@pytest.mark.parametrize("symbol", ["AAPL", "aapl", "Ä#%25?&+ [1]"])
def test_typed_symbol_is_asked_for_as_it_is(page: Page, symbol: str) -> None:
    """Of symbols that differ by case alone the one that was typed is opened, percent-encoded."""
    listed = [
        {"symbol": one, "security_name": None, "etf": False, "dollar_volume": None}
        for one in ("aapl", "AAPL", "Ä#%25?&+ [1]")
    ]
    found = {"symbols": listed, "total": len(listed)}
    page.goto("/")
    page.route("**/symbols?*", lambda route: route.fulfill(json=found))
    page.locator("#query").fill(symbol)
    address = f"/symbols/{quote(symbol, safe='')}/history?"
    with page.expect_request(lambda request: address in request.url):
        page.keyboard.press("Enter")


def test_late_answers_are_ignored(page: Page) -> None:
    """A search that is answered after a later one does not replace its symbols."""
    held = hold(page, "**/symbols?query=a&*")
    page.goto("/")
    query = page.locator("#query")
    with page.expect_request("**/symbols?query=a&*"):
        query.fill("a")
    query.fill("goo")
    expect(page.locator("#found [role=option]")).to_have_count(1)
    held[0].continue_()
    page.wait_for_timeout(200)
    expect(page.locator("#found [role=option]")).to_have_attribute("data-symbol", "GOOG")


def test_figures_match_the_api(page: Page, api: httpx.Client) -> None:
    """Forecast, interval, dates and record on the page are what the API answers."""
    open_symbol(page, "AAPL")
    forecast, record = answer(api, "/forecast/AAPL"), answer(api, "/symbols/AAPL/record")
    figure, interval = (
        page.locator("#forecast-figure data"),
        page.locator("#forecast-interval data"),
    )
    expect(figure).to_have_attribute("value", str(forecast["forecast"]))
    expect(figure).to_have_attribute("title", f"{forecast['forecast']:,} shares")
    shown = [data.get_attribute("value") for data in interval.all()]
    assert shown == [str(forecast["quantiles"][name]) for name in ("q10", "q90")]
    when = page.locator("#forecast .when span").first
    expect(when).to_have_text(re.compile("^Monday,? 4 March 2013$"))
    expect(page.locator("#stale")).to_have_text("Out of date: data end 1 Mar 2013")
    figures = page.locator("#record .figures")
    expect(figures).to_contain_text(f"{record['n']:,}")
    for name in ("mdape", "coverage_80"):
        expect(figures).to_contain_text(f"{record[name]:.1f}\u202f%")
    expect(page.locator("#record-lead")).to_have_text(
        f"In {record['coverage_80']:.0f} of 100 sessions the volume fell inside the interval; "
        f"half of the forecasts missed by less than {math.ceil(record['mdape'])}\u202f%."
    )
    page.get_by_text("More measures").click()
    expect(page.locator("#measures")).to_contain_text(f"{record['eta_r2']:.1f}\u202f%")


def test_headline_says_how_unusual_the_session_is(page: Page, api: httpx.Client) -> None:
    """The forecast is put beside its 30-day mean and beside the latest sessions."""
    open_symbol(page, "IBM")
    forecast = answer(api, "/forecast/IBM")["forecast"]
    history = answer(api, "/symbols/IBM/history?days=731")
    ratio = forecast / history["vol_moving_avg"]
    recent = [bar["Volume"] for bar in history["bars"][-60:]]
    busier = sum(volume > forecast for volume in recent)
    quieter = sum(volume < forecast for volume in recent)
    comparison = f"quieter than {busier}" if busier >= quieter else f"busier than {quieter}"
    side = "below" if ratio < 1 else "above"
    expect(page.locator("#unusual li")).to_have_text(
        [
            f"{100 * abs(ratio - 1):.0f}\u202f% {side} its 30-day mean",
            f"{comparison} of the last 60 sessions",
        ]
    )
    labels = page.locator(".scale-label")
    expect(labels.filter(has_text="30-day mean")).to_have_count(1)
    ends = page.locator("#forecast-interval data").all_text_contents()
    expect(page.locator(".scale-end")).to_have_text(ends)


def test_known_event_is_beside_the_forecast(page: Page, api: httpx.Client) -> None:
    """The sentence of a known event is shown as it is, in readable text; without one there is none.

    It is shown as text: markup in it is no markup of the page.
    """
    open_symbol(page, "IBM")
    expect(page.locator("#forecast-event")).to_contain_text("No release of earnings is known")
    text = "Reports <b>earnings</b> after the close on 2013-03-01; the forecast session reacts."
    forecast = {**answer(api, "/forecast/AAPL"), "event": {"text": text}}
    page.route("**/forecast/AAPL", lambda route: route.fulfill(json=forecast))
    open_symbol(page, "AAPL")
    expect(page.locator("#forecast-event")).to_have_text(text)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate(PALE_TEXT) == []


@pytest.mark.parametrize(
    ("volume", "mean", "words"),
    [
        (97, 100, "3\u202f% below its 30-day mean"),
        (112, 100, "12\u202f% above its 30-day mean"),
        (100, 100.2, "at its 30-day mean"),
        (280, 100, "2.8 times its 30-day mean"),
        (100, 0, None),
        (100, None, None),
    ],
)
def test_a_volume_beside_its_mean(
    page: Page, volume: float, mean: float | None, words: str | None
) -> None:
    """The words hold for any mean, even none."""
    page.goto("/")
    said = page.evaluate(CALLED, ["format.js", "againstMean", [[volume, mean]]])
    assert said == [words]


def test_names_are_shown_without_the_kind_of_share(page: Page, api: httpx.Client) -> None:
    """A name is cut only where it says what nearly all are; the title says the company's."""
    names = {
        "Apple Inc. - Common Stock": "Apple Inc.",
        "International Business Machines Corporation Common Stock": (
            "International Business Machines Corporation"
        ),
        "Alphabet Inc. - Class C Capital Stock": "Alphabet Inc. Class C",
        "Aptiv PLC Ordinary Shares": "Aptiv PLC",
        "Fund Common Shares of Beneficial Interest": "Fund",
        "iShares Core U.S. Aggregate Bond ETF": "iShares Core U.S. Aggregate Bond ETF",
        "Common Stock": "Common Stock",
    }
    open_symbol(page, "AAPL")
    shown = page.evaluate(CALLED, ["format.js", "shortName", [[name] for name in names]])
    assert dict(zip(names, shown, strict=True)) == names
    full = answer(api, "/symbols/AAPL")["security_name"]
    expect(page.locator("h1")).to_have_text("AAPL Apple Inc.")
    expect(page.locator("h1 .company")).to_have_attribute("title", full)
    expect(page).to_have_title("AAPL, Apple Inc. | Trading volume forecasts")


def test_charts_have_tables(page: Page, api: httpx.Client) -> None:
    """Behind each chart is a table of what it shows, for the range that was chosen."""
    open_symbol(page, "IBM")
    history = answer(api, "/symbols/IBM/history?days=731")
    scored = answer(api, "/symbols/IBM/record")["forecasts"]
    page.get_by_text("Prices and volumes as a table").click()
    recent = [bar for bar in history["bars"] if bar["Date"] > "2012-12-01"]
    rows = page.locator("#history tbody tr")
    expect(rows).to_have_count(len(recent) + 1)
    expect(rows.nth(1)).to_contain_text(f"{recent[-1]['Volume']:,}")
    expect(rows.nth(1)).to_contain_text(f"{history['vol_moving_avg']:,.0f}")
    page.get_by_text("Forecasts as a table").click()
    expect(page.locator("#record tbody tr")).to_have_count(len(scored))
    misses = sum(not row["q10"] <= row["volume"] <= row["q90"] for row in scored)
    assert misses
    expect(page.locator("#record tbody tr", has_text="no")).to_have_count(misses)
    expect(page.locator("#record .plot")).to_have_attribute(
        "aria-label", re.compile(f"{misses} of {len(scored)} volumes outside the interval$")
    )


def test_range_is_changed_by_keyboard(page: Page, api: httpx.Client) -> None:
    """Another range keeps an open table open, and is announced to screen readers."""
    open_symbol(page, "IBM")
    page.get_by_text("Prices and volumes as a table").click()
    rows = page.locator("#history tbody tr")
    expect(rows.first).to_be_visible()
    page.get_by_role("radio", name="3 months").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radio", name="1 year")).to_be_checked()
    expect(page.get_by_role("radio", name="1 year")).to_be_focused()
    bars = answer(api, "/symbols/IBM/history?days=731")["bars"]
    year = [bar for bar in bars if bar["Date"] > "2012-03-01"]
    expect(page.locator("#status")).to_contain_text(f"1 year: {len(year)} sessions from 2 Mar 2012")
    expect(rows).to_have_count(len(year) + 1)
    expect(rows.first).to_be_visible()


def test_long_ranges_are_weeks_where_there_is_no_room(page: Page) -> None:
    """On a phone a year is drawn by weeks, which the caption says; on a desk by sessions."""
    open_symbol(page, "IBM")
    caption, plot = page.locator("#history .readout"), page.locator("#history .plot")
    choose_range(page, "1 year")
    expect(caption).to_have_text("Shares traded a day")
    page.set_viewport_size({"width": 390, "height": 800})
    expect(caption).to_have_text("Shares traded a day, mean of each week")
    expect(plot).to_have_attribute("aria-label", re.compile("mean of each week"))
    plot.locator(".u-over").hover()
    expect(caption).to_have_text(re.compile(r"^Week of .* shares a day, 30-day mean "))
    choose_range(page, "3 months")
    expect(caption).to_have_text("Shares traded a day")


def test_address_opens_a_symbol(page: Page) -> None:
    """A link names its symbol, and the browser's way back leads to the one before."""
    open_symbol(page, "GOOG")
    expect(page).to_have_title(re.compile("GOOG"))
    page.locator("#query").fill("FB")
    page.keyboard.press("Enter")
    expect_symbol(page, "FB")
    page.go_back()
    expect_symbol(page, "GOOG")
    expect(page.locator("#query")).to_have_value("GOOG")


def test_unknown_symbol_shows_near_ones(page: Page) -> None:
    """A symbol that is not known leads to symbols of similar spelling."""
    page.goto("/#APPL")
    expect(page.get_by_role("heading", name="There is no such symbol")).to_be_visible()
    page.locator("#near").get_by_role("button", name="AAPL").click()
    expect_symbol(page, "AAPL")
    expect(page.locator("#problem")).to_be_hidden()


def test_symbol_without_forecast_or_record(page: Page) -> None:
    """Where there is neither, the page says so, and still shows the history."""
    page.route(
        re.compile("/forecast/|/record$"), lambda route: refuse(route, 404, "never forecast")
    )
    page.goto("/#AAPL")
    expect(page.locator("#forecast")).to_contain_text("There is no forecast: never forecast")
    expect(page.locator("#no-record")).to_be_visible()
    expect(page.locator("#history canvas")).to_be_visible()


def test_record_that_fails_leaves_the_rest(page: Page) -> None:
    """Without its record a symbol has its forecast and history, and a way to try again."""
    page.route("**/symbols/*/record", lambda route: refuse(route, 500, "the record broke"))
    open_symbol(page, "AAPL")
    expect(page.locator("#no-record")).to_contain_text("could not be loaded: the record broke")
    expect(page.locator("#history canvas")).to_be_visible()
    page.unroute_all()
    page.locator("#record").get_by_role("button", name="Try again").click()
    expect(page.locator("#record canvas")).to_be_visible()


def test_forecast_that_fails_leaves_the_rest(page: Page) -> None:
    """Without its forecast a symbol has its history and record, and a way to try again."""
    page.route("**/forecast/AAPL", lambda route: refuse(route, 503, "the forecast broke"))
    page.goto("/#AAPL")
    expect(page.locator("#forecast")).to_contain_text("could not be loaded: the forecast broke")
    expect(page.locator("#history canvas")).to_be_visible()
    expect(page.locator("#record canvas")).to_be_visible()
    page.unroute_all()
    page.locator("#forecast").get_by_role("button", name="Try again").click()
    expect(page.locator("#forecast-figure")).to_be_visible()


def test_slow_record_holds_nothing_up(page: Page) -> None:
    """The forecast is there before a record that takes its time."""
    held = hold(page, "**/symbols/*/record")
    page.goto("/#AAPL")
    expect(page.locator("#forecast-figure")).to_be_visible()
    expect(page.locator("#record")).to_have_text("Loading…")
    held[0].continue_()
    expect(page.locator("#record canvas")).to_be_visible()


def test_slow_answer_is_announced(page: Page) -> None:
    """While a symbol is waited for, the page says so, also to who cannot see it."""
    held = hold(page, "**/symbols/*/history?*")
    page.goto("/#AAPL")
    expect(page.locator("#status")).to_have_text("Loading AAPL…")
    expect(page.locator("[data-view=loading]")).to_be_visible()
    held[0].continue_()
    expect(page.locator("#status")).to_contain_text("AAPL: forecast of")


def test_estimator_answers(page: Page, api: httpx.Client) -> None:
    """The form holds the symbol's averages, with thousands apart, and answers as the API does."""
    open_symbol(page, "AAPL")
    page.get_by_role("link", name="Estimate a day's usual volume").click()
    expect(page.locator("#estimate-hint")).to_contain_text("As of AAPL's bar of 1 Mar 2013")
    history = answer(api, "/symbols/AAPL/history?days=1")
    values = {}
    for name in ("vol_moving_avg", "adj_close_rolling_med"):
        values[name] = page.locator(f"#{name}").input_value().replace(",", "")
        assert float(values[name]) == pytest.approx(history[name], abs=0.006)
    page.get_by_role("button", name="Estimate").click()
    expected = api.get("/predict", params=values).json()
    shown = page.locator("#estimate-answer")
    expect(shown.locator("data")).to_have_attribute("value", str(expected["volume"]))


def test_estimator_warns_of_what_was_never_seen(page: Page) -> None:
    """A value outside what was trained on is named beside the answer."""
    page.goto("/#/estimator?symbol=AAPL")
    for volume, side in (("9,000,000,000", "above"), ("12345", "below")):
        page.locator("#vol_moving_avg").fill(volume)
        page.get_by_role("button", name="Estimate").click()
        expect(page.locator("#estimate-answer")).to_contain_text(f"Beware: Mean volume is {side}")


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("", "Enter a number."),
        ("  ", "Enter a number."),
        ("173,47", "commas only between thousands"),
        ("1,00,000", "commas only between thousands"),
        ("a lot", "This is not a number."),
        ("-1", "Must be 0 or more."),
    ],
)
def test_estimator_checks_what_is_typed(page: Page, typed: str, words: str) -> None:
    """A value that is no number has a message beside its field, and no request is sent."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto("/#/estimator")
    volume, price = page.locator("#vol_moving_avg"), page.locator("#adj_close_rolling_med")
    volume.fill("1,234,567.5")
    price.fill(typed)
    page.get_by_role("button", name="Estimate").click()
    expect(page.locator("#adj_close_rolling_med-error")).to_contain_text(words)
    expect(page.locator("#vol_moving_avg-error")).to_be_empty()
    expect(price).to_have_attribute("aria-invalid", "true")
    expect(price).to_be_focused()
    assert not [url for url in asked if "/predict" in url]
    price.fill("$25")
    with page.expect_request(re.compile(r"/predict\?vol_moving_avg=1234567.5&.*=25$")):
        page.keyboard.press("Enter")
    expect(page.locator("#estimate-answer")).to_contain_text("shares")
    expect(page.locator("#adj_close_rolling_med-error")).to_be_empty()


def test_estimator_shows_refusals_beside_the_field(page: Page) -> None:
    """Each value that the API refuses has its reason under it, and the first has the focus."""

    def refuse_price(route: Route) -> None:
        error = {"field": "adj_close_rolling_med", "message": "must be kinder"}
        body = json.dumps({"detail": "no", "errors": [error]})
        route.fulfill(status=422, content_type=PROBLEM_JSON, body=body)

    page.route("**/predict?*", refuse_price)
    page.goto("/#/estimator")
    page.locator("#vol_moving_avg").fill("12345")
    page.locator("#adj_close_rolling_med").fill("25")
    page.keyboard.press("Enter")
    expect(page.locator("#adj_close_rolling_med-error")).to_have_text("must be kinder")
    expect(page.locator("#adj_close_rolling_med")).to_be_focused()


def test_models_are_named(page: Page, api: httpx.Client) -> None:
    """The foot of the page names the models that answer; the top links to the documentation."""
    page.goto("/")
    models = answer(api, "/models")
    expect(page.locator("#models")).to_be_hidden()
    page.get_by_text("Models that answer").click()
    expect(page.locator("#models")).to_be_visible()
    for name in ("forecaster", "estimator", "snapshot"):
        expect(page.locator("#models")).to_contain_text(models[name]["tag"])
    page.get_by_role("link", name="API docs").click()
    expect(page).to_have_url(re.compile("/docs$"))


def test_service_that_loads_is_asked_again(page: Page) -> None:
    """A 503 says so, and the page fills itself once the service is ready."""
    page.route(DATA, lambda route: refuse(route, 503, "models load", {"retry-after": "1"}))
    page.goto("/#AAPL")
    expect(page.get_by_role("heading", name="The service is not ready")).to_be_visible()
    expect(page.locator("#problem")).to_contain_text("models load")
    page.unroute_all()
    expect(page.locator("#forecast-figure")).to_be_visible()
    expect(page.locator("#models")).to_contain_text("Forecaster")


def test_unreachable_server_can_be_tried_again(page: Page) -> None:
    """Without a connection the page says so and offers to try again."""
    page.route(DATA, lambda route: route.abort())
    page.goto("/#AAPL")
    expect(page.get_by_role("heading", name="The server cannot be reached")).to_be_visible()
    page.unroute_all()
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#forecast-figure")).to_be_visible()


def test_api_key_is_asked_for(page: Page) -> None:
    """Where a key is needed the page asks for it, refuses a wrong one and keeps the right one."""

    def guard(route: Route) -> None:
        if route.request.headers.get("x-api-key") == "right":
            route.continue_()
        else:
            refuse(route, 401, "the header X-API-Key is missing or wrong")

    page.route(DATA, guard)
    page.goto("/#AAPL")
    field = page.get_by_label("API key", exact=True)
    expect(field).to_be_focused()
    field.fill("wrong")
    page.keyboard.press("Enter")
    expect(page.locator("#key-error")).to_have_text("The server refused this key.")
    field.fill("right")
    page.keyboard.press("Enter")
    expect(page.locator("#forecast-figure")).to_be_visible()
    expect(page.locator("#models")).to_contain_text("Forecaster")
    page.reload()
    expect(page.locator("#forecast-figure")).to_be_visible()


@pytest.mark.parametrize(
    "address", ["/", "/#AAPL?compare=IBM&compare=GOOG", "/#/estimator", "/#APPL"]
)
def test_nothing_is_wider_than_a_phone(page: Page, address: str) -> None:
    """At 390 pixels no view scrolls sideways, with its tables open."""
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(address)
    expect_all_loaded(page)
    page.locator("details").evaluate_all(OPEN_ALL)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(page: Page, scheme: str) -> None:
    """In both colour schemes all text has a contrast of 4.5 to 1 with its background."""
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    open_symbol(page, "AAPL")
    assert page.evaluate(PALE_TEXT) == []
    page.goto("/#/estimator?symbol=AAPL")
    expect(page.locator("#estimate-hint")).not_to_be_empty()
    page.get_by_role("button", name="Estimate").click()
    expect(page.locator("#estimate-answer")).to_contain_text("shares")
    assert page.evaluate(PALE_TEXT) == []
    page.locator("#vol_moving_avg").fill("")
    page.get_by_role("button", name="Estimate").click()
    expect(page.locator("#vol_moving_avg-error")).to_have_text("Enter a number.")
    assert page.evaluate(PALE_TEXT) == []
    page.get_by_role("link", name="Screener").click()
    expect(page.locator("#screen .title a")).to_have_count(5)
    assert page.evaluate(PALE_TEXT) == []


def test_charts_follow_the_colour_scheme(page: Page) -> None:
    """When the scheme changes, the page and its charts change with it."""
    page.emulate_media(color_scheme="light")
    open_symbol(page, "AAPL")
    light = pictures(page)
    expect(page.locator("body")).to_have_css("background-color", "rgb(244, 246, 248)")
    page.emulate_media(color_scheme="dark")
    expect(page.locator("body")).to_have_css("background-color", "rgb(15, 20, 26)")
    assert len(light) == 3
    wait_for_other_pictures(page, light)


def test_marks_are_seen_in_forced_colours(page: Page) -> None:
    """Where the system chooses the colours, marks, charts and the scale keep to be seen."""
    open_symbol(page, "AAPL")
    plain = pictures(page)
    page.emulate_media(forced_colors="active")
    wait_for_other_pictures(page, plain)
    ground = page.locator("body").evaluate("(body) => getComputedStyle(body).backgroundColor")
    filled = (".mark-bar", ".mark-forecast", ".mark-miss", ".mark-dot", ".scale-point")
    edged = (".mark-mean", ".mark-line", ".scale-band", ".mark-band")
    for mark in (*filled, *edged):
        # Otherwise the system would paint over what is computed.
        expect(page.locator(mark).first).to_have_css("forced-color-adjust", "none")
    for mark in filled:
        expect(page.locator(mark).first).not_to_have_css("background-color", ground)
    for mark in edged:
        expect(page.locator(mark).first).not_to_have_css("border-top-color", ground)


def test_text_follows_the_size_of_the_reader(page: Page) -> None:
    """Twice the browser's size of text is twice the size of all text, and nothing overflows."""
    open_symbol(page, "AAPL")
    sizes = page.evaluate(FONT_SIZES)
    page.evaluate("() => { document.documentElement.style.fontSize = '32px'; }")
    assert page.evaluate(FONT_SIZES) == pytest.approx([2 * size for size in sizes])
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_data_is_text(page: Page, api: httpx.Client) -> None:
    """Names from the server are shown as they are, never as HTML."""
    name = "<img src=x onerror=alert(1)>"
    rows = answer(api, "/forecasts")
    found = {"symbol": "X<b>", "security_name": name, "etf": False, "dollar_volume": None}
    rows["symbols"][0] |= found
    page.route("**/forecasts", lambda route: route.fulfill(json=rows))
    page.route("**/symbols?*", lambda route: route.fulfill(json={"symbols": [found], "total": 1}))
    open_screener(page)
    link = page.locator("#screen .title a", has_text="X<b>")
    expect(link).to_contain_text(name)
    expect(link).to_have_attribute("href", "#X%3Cb%3E")
    page.locator("#query").press("ArrowDown")
    expect(page.locator("#found [role=option]")).to_contain_text(name)
    expect(page.locator("img")).to_have_count(0)


def test_page_keeps_to_itself(page: Page, api: httpx.Client) -> None:
    """No error in the console, no request to another host, nothing against the policy."""
    policy = api.get("/").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.add_init_script(WATCH_POLICY)
    page.goto("/")
    page.locator("#screen .title a", has_text="AAPL").click()
    expect(page.locator("#record canvas")).to_be_visible()
    expect(page.locator("#explanation .effects")).to_be_visible()
    page.get_by_role("button", name="Theme:").click()
    page.locator("#history .u-over").hover()
    expect(page.locator("#history .readout")).to_contain_text("shares")
    choose_range(page, "2 years")
    page.get_by_role("link", name="Estimate a day's usual volume").click()
    page.get_by_role("button", name="Estimate").click()
    expect(page.locator("#estimate-answer")).to_contain_text("shares")
    assert said == []
    assert [url for url in asked if not url.startswith(str(api.base_url))] == []
    assert page.evaluate("window.violations") == []
