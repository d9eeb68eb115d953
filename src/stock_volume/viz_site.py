"""The graph of Kedro-Viz as a static site that loads nothing from elsewhere.

``kedro viz build`` writes the site. Its page loads fonts from Google and begins with a tour of
Kedro-Viz, which a reader of this project does not need: both are removed.
"""

import re
from pathlib import Path
from typing import Final

PAGE: Final = "build/index.html"

_TITLE: Final = "stock_volume: the pipeline"
_EXTERNAL: Final = re.compile(r"\s*<link\s[^>]*https://fonts\.[^>]*>")
_SETTINGS: Final = """\
<script>
  if (!localStorage.getItem("KedroViz"))
    localStorage.setItem("KedroViz", '{"showFeatureHints": false}');
</script>
"""
"""Settings of Kedro-Viz for a first visit; it reads them when it starts."""


def clean_page(html: str) -> str:
    """Remove what the page loads from elsewhere, and the tour.

    Args:
        html: The page of Kedro-Viz.

    Returns:
        The page with a title of its own.
    """
    html = _EXTERNAL.sub("", html)
    return html.replace("<title>Kedro-Viz</title>", f"<title>{_TITLE}</title>\n{_SETTINGS}", 1)


if __name__ == "__main__":
    page = Path(PAGE)
    page.write_text(clean_page(page.read_text(encoding="utf-8")), encoding="utf-8")
