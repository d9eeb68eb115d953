"""The service's page in a browser, over HTTP, on the forecasts of the embedded sample."""

import json
import re
import shutil
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
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
DATA = re.compile(r"(?<!/static)/(symbols|forecast|models|predict)\b")
"""Addresses of the API, none of those of the page's files."""

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
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, api: httpx.Client) -> Iterator[Page]:
    """An empty tab, with a session of its own."""
    with browser.new_context(base_url=str(api.base_url)) as context:
        context.set_default_timeout(5000)
        yield context.new_page()


def answer(api: httpx.Client, path: str) -> Any:
    response = api.get(path)
    assert response.status_code == httpx.codes.OK, response.text
    return response.json()


def open_symbol(page: Page, symbol: str) -> None:
    page.goto(f"/#{symbol}")
    expect(page.locator("h1")).to_have_text(symbol)
    expect(page.locator("#forecast-figure")).to_be_visible()


def refuse(route: Route, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
    body = json.dumps({"title": "Problem", "status": status, "detail": detail})
    route.fulfill(
        status=status, headers={**(headers or {}), "content-type": PROBLEM_JSON}, body=body
    )


def pictures(page: Page) -> list[str]:
    drawn: list[str] = page.locator("canvas").evaluate_all(
        "(canvases) => canvases.map((canvas) => canvas.toDataURL())"
    )
    return drawn


def wait_for_other_pictures(page: Page, before: list[str]) -> None:
    """Wait until every chart is drawn anew: a page may do so after its style sheet applies."""
    page.wait_for_function(
        """(before) => {
          const now = [...document.querySelectorAll("canvas")].map((canvas) => canvas.toDataURL());
          return now.length === before.length && !now.some((one, place) => one === before[place]);
        }""",
        arg=before,
    )


def test_nothing_chosen_says_what_to_do(page: Page, api: httpx.Client) -> None:
    """Without a symbol the page offers the most traded ones, each as a link to itself."""
    page.goto("/")
    expect(page.locator("#subtitle")).to_contain_text("Search a symbol")
    known = [found["symbol"] for found in answer(api, "/symbols?query=")["symbols"]]
    expect(page.locator("#most .symbol")).to_have_text(known)
    page.locator("#most a").first.click()
    expect(page.locator("h1")).to_have_text(known[0])


def test_symbol_is_chosen_by_keyboard(page: Page) -> None:
    """Typing, an arrow and Enter choose a symbol; Escape closes the list."""
    page.goto("/")
    expect(page.locator("#most li").first).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.locator("#skip")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    query = page.get_by_role("combobox")
    expect(query).to_be_focused()
    page.keyboard.type("m")
    expect(page.get_by_role("option").first).to_be_visible()
    expect(query).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("Escape")
    expect(page.get_by_role("listbox")).to_be_hidden()
    expect(query).to_have_attribute("aria-expanded", "false")
    page.keyboard.type("sf")
    expect(page.get_by_role("option")).to_have_count(1)
    page.keyboard.press("ArrowDown")
    marked = page.get_by_role("option", selected=True)
    expect(query).to_have_attribute("aria-activedescendant", marked.get_attribute("id") or "")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("MSFT")
    expect(page).to_have_url(re.compile("#MSFT$"))
    expect(page.locator("#status")).to_contain_text("MSFT: forecast of")


def test_typed_symbol_needs_no_list(page: Page) -> None:
    """Enter right after the last letter takes the symbol as typed, in whatever case."""
    page.goto("/")
    page.get_by_role("combobox").fill("ibm")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("IBM")


def test_late_answers_are_ignored(page: Page) -> None:
    """A search that is answered after a later one does not replace its symbols."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/symbols?query=a&*", hold)
    page.goto("/")
    query = page.get_by_role("combobox")
    with page.expect_request("**/symbols?query=a&*"):
        query.fill("a")
    query.fill("goo")
    expect(page.get_by_role("option")).to_have_count(1)
    held[0].continue_()
    page.wait_for_timeout(200)
    expect(page.get_by_role("option")).to_have_attribute("data-symbol", "GOOG")


def test_figures_are_those_of_the_api(page: Page, api: httpx.Client) -> None:
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
    expect(page.locator("#forecast .when")).to_have_text(re.compile("^Monday,? 4 March 2013$"))
    expect(page.locator("#forecast")).to_contain_text("1 Mar 2013")
    expect(page.locator("#stale")).to_be_visible()
    figures = page.locator("#record .figures")
    expect(figures).to_contain_text(f"{record['n']:,}")
    for name in ("mdape", "coverage_80"):
        expect(figures).to_contain_text(f"{record[name]:.1f}\u202f%")


def test_charts_have_tables(page: Page, api: httpx.Client) -> None:
    """Behind each chart is a table of what it shows, for the range that was chosen."""
    open_symbol(page, "IBM")
    bars = answer(api, "/symbols/IBM/history?days=731")["bars"]
    scored = answer(api, "/symbols/IBM/record")["forecasts"]
    year = pictures(page)[:1]
    page.get_by_role("radio", name="3 months").check(force=True)
    page.wait_for_function(
        "(before) => document.querySelector('canvas').toDataURL() !== before", arg=year[0]
    )
    page.get_by_text("Volumes as a table").click()
    recent = [bar for bar in bars if bar["Date"] > "2012-12-01"]
    rows = page.locator("#history tbody tr")
    expect(rows).to_have_count(len(recent) + 1)
    expect(rows.nth(1)).to_contain_text(f"{recent[-1]['Volume']:,}")
    page.get_by_text("Forecasts as a table").click()
    expect(page.locator("#record tbody tr")).to_have_count(len(scored))


def test_address_opens_a_symbol(page: Page) -> None:
    """A link names its symbol, and the browser's way back leads to the one before."""
    open_symbol(page, "GOOG")
    expect(page).to_have_title(re.compile("GOOG"))
    page.get_by_role("combobox").fill("FB")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("FB")
    page.go_back()
    expect(page.locator("h1")).to_have_text("GOOG")
    expect(page.get_by_role("combobox")).to_have_value("GOOG")


def test_unknown_symbol_shows_near_ones(page: Page) -> None:
    """A symbol that is not known leads to those spelt alike."""
    page.goto("/#APPL")
    expect(page.get_by_role("heading", name="There is no such symbol")).to_be_visible()
    page.locator("#near").get_by_role("button", name="AAPL").click()
    expect(page.locator("h1")).to_have_text("AAPL")
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


def test_estimator_answers(page: Page, api: httpx.Client) -> None:
    """The form holds the symbol's averages and answers as the API does."""
    open_symbol(page, "AAPL")
    history = answer(api, "/symbols/AAPL/history?days=1")
    values = {}
    for name in ("vol_moving_avg", "adj_close_rolling_med"):
        values[name] = page.locator(f"#{name}").input_value()
        assert float(values[name]) == pytest.approx(history[name], abs=0.006)
    page.get_by_role("button", name="Estimate").click()
    expected = api.get("/predict", params=values).json()
    shown = page.locator("#estimate-answer")
    expect(shown.locator("data")).to_have_attribute("value", str(expected["volume"]))
    expect(shown).to_contain_text(expected["model"])


def test_estimator_shows_errors_beside_the_field(page: Page) -> None:
    """Each value that the API refuses has its reason under it, and the first has the focus."""
    page.goto("/")
    volume, price = page.locator("#vol_moving_avg"), page.locator("#adj_close_rolling_med")
    volume.fill("12345")
    price.fill("-1")
    page.get_by_role("button", name="Estimate").click()
    expect(page.locator("#adj_close_rolling_med-error")).to_contain_text("greater than or equal")
    expect(page.locator("#vol_moving_avg-error")).to_be_empty()
    expect(price).to_have_attribute("aria-invalid", "true")
    expect(price).to_be_focused()
    price.fill("25")
    page.keyboard.press("Enter")
    expect(page.locator("#estimate-answer")).to_contain_text("shares")
    expect(page.locator("#adj_close_rolling_med-error")).to_be_empty()


def test_models_are_named(page: Page, api: httpx.Client) -> None:
    """The page names the models that answer and links to the documentation."""
    page.goto("/")
    models = answer(api, "/models")
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


@pytest.mark.parametrize("address", ["/", "/#AAPL", "/#APPL"])
def test_nothing_is_wider_than_a_phone(page: Page, address: str) -> None:
    """At 390 pixels no view scrolls sideways, with its tables open."""
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(address)
    expect(page.locator("main")).not_to_have_attribute("aria-busy", "true")
    page.locator("details").evaluate_all("(all) => all.forEach((one) => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(page: Page, scheme: str) -> None:
    """In both colour schemes all text stands out from its background by 4.5 to 1."""
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    open_symbol(page, "AAPL")
    page.get_by_role("button", name="Estimate").click()
    expect(page.locator("#estimate-answer")).to_contain_text("shares")
    assert page.evaluate(PALE_TEXT) == []


def test_charts_follow_the_colour_scheme(page: Page) -> None:
    """When the scheme changes, the page and its charts change with it."""
    page.emulate_media(color_scheme="light")
    open_symbol(page, "AAPL")
    light = pictures(page)
    expect(page.locator("body")).to_have_css("background-color", "rgb(244, 246, 248)")
    page.emulate_media(color_scheme="dark")
    expect(page.locator("body")).to_have_css("background-color", "rgb(15, 20, 26)")
    assert len(light) == 2
    wait_for_other_pictures(page, light)


def test_data_is_text(page: Page) -> None:
    """Names from the server are shown as they are, never as HTML."""
    name = "<img src=x onerror=alert(1)>"

    def rename(route: Route) -> None:
        found = {"symbol": "X<b>", "security_name": name, "etf": False, "dollar_volume": None}
        route.fulfill(json={"symbols": [found], "total": 1})

    page.route("**/symbols?*", rename)
    page.goto("/")
    expect(page.locator("#most .name")).to_have_text(name)
    expect(page.locator("#most a")).to_have_attribute("href", "#X%3Cb%3E")
    page.get_by_role("combobox").press("ArrowDown")
    expect(page.get_by_role("option")).to_contain_text(name)
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
    page.locator("#most a", has_text="AAPL").click()
    expect(page.locator("#record canvas")).to_be_visible()
    page.locator("#history .u-over").hover()
    expect(page.locator("#history .readout")).to_contain_text("shares")
    page.get_by_role("radio", name="2 years").check(force=True)
    page.get_by_role("button", name="Estimate").click()
    expect(page.locator("#estimate-answer")).to_contain_text("shares")
    assert said == []
    assert [url for url in asked if not url.startswith(str(api.base_url))] == []
    assert page.evaluate("window.violations") == []
