"""Takes the picture of a DAG's run as Airflow's web interface draws it.

usage: picture.py ADDRESS DAG RUN FILE
"""

import shutil
import sys
from urllib.parse import quote

from playwright.sync_api import sync_playwright

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


def main(address: str, dag: str, run: str, file: str) -> None:
    """Open the graph of the run, wait until all of it is drawn, and keep what is seen."""
    if CHROMIUM is None:
        sys.exit("Chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1480, "height": 640})
        page.set_default_timeout(60_000)
        page.add_init_script("localStorage.setItem('default_dag_view', JSON.stringify('graph'))")
        page.goto(f"{address}/dags/{dag}/runs/{quote(run)}")
        page.locator(".react-flow__node").first.wait_for()
        page.get_by_role("button", name="Collapse Details Panel").click()
        page.wait_for_timeout(1000)  # panels and layout settle
        page.get_by_role("button", name="Fit View").click()
        page.add_style_tag(content=".react-flow__minimap { display: none }")
        page.mouse.move(1200, 70)  # away from tooltips
        page.wait_for_timeout(2000)
        page.screenshot(path=file)
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
