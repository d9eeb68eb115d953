"""Hooks of the documentation site: pages that are made from other files.

README and its neighbours stay where GitHub shows them, and are pages of the site too; each
domain package has a page of its docstrings. Links to source files become text.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

PROJECT: Final = Path(__file__).parents[1]
ROOT_PAGES: Final = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
}
"""Pages made from files beside docs, by the name of the file."""

PACKAGES: Final = (
    "bars",
    "events",
    "features",
    "estimator",
    "forecaster",
    "evaluation",
    "snapshot",
    "monitoring",
    "reporting",
    "lineage",
    "sources",
)
"""Packages with a page of their docstrings."""

_LINK: Final = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")


def on_config(config: "MkDocsConfig") -> None:
    """Add decisions and packages to the navigation."""
    sections = {title: pages for one in config.nav or [] for title, pages in one.items()}
    _fill(sections["Reference"], "Python", [f"python/{name}.md" for name in PACKAGES])
    decisions = sorted(path.name for path in (PROJECT / "docs/decisions").glob("*.md"))
    _fill(sections["Explanation"], "Decisions", [f"decisions/{name}" for name in decisions])


def on_files(files: "Files", config: "MkDocsConfig") -> None:
    """Add the pages that are made from other files."""
    from mkdocs.structure.files import File

    for name, page in ROOT_PAGES.items():
        text = (PROJECT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=move_into_docs(text)))
    for name in PACKAGES:
        text = f"---\ntitle: {name}\n---\n\n# stock_volume.{name}\n\n::: stock_volume.{name}\n"
        files.append(File.generated(config, f"python/{name}.md", content=text))


def on_page_markdown(markdown: str, page: "Page", **_: Any) -> str:
    """Turn links to files that are no part of the site into text."""
    folder = (PROJECT / "docs" / page.file.src_uri).parent
    return _LINK.sub(lambda link: _keep_or_unlink(link, folder), markdown)


def move_into_docs(text: str) -> str:
    """Rewrite the links of a file beside docs for a page inside it."""
    text = text.replace("](docs/decisions)", "](decisions/0001-nodes-stream-chunks-of-symbols.md)")
    text = text.replace("](docs/", "](").replace('src="docs/', 'src="')
    for name, page in ROOT_PAGES.items():
        text = text.replace(f"]({name}", f"]({page}")
    return re.sub(r"\[([^\]]*)\]\(LICENSE\)", r"\1", text)


def _keep_or_unlink(link: re.Match[str], folder: Path) -> str:
    words, target = link.groups()
    path = (folder / target.split("#")[0]).resolve()
    is_outside = target.startswith("../") and not path.is_relative_to(PROJECT / "docs")
    return words if is_outside and path.exists() else link[0]


def _fill(section: list[dict[str, Any]], title: str, pages: list[str]) -> None:
    next(one for one in section if title in one)[title] = pages
