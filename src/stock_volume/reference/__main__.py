"""Write docs/reference: ``python -m stock_volume.reference``, or ``make reference``."""

from pathlib import Path

from stock_volume.reference.pages import write_pages

if __name__ == "__main__":
    write_pages(Path.cwd(), Path("docs/reference"))
