"""The reference of the libraries as HTML, from their docstrings: what `__all__` of each package names, no more.

    python docs/reference.py out/reference        # needs the [docs] extra; open out/reference/index.html

Strict: a warning of pdoc (a name or an annotation that does not resolve) ends it, and so does a link between the pages
that leads nowhere. Exit code 1 then.
"""

import re
import sys
import warnings
from html import unescape
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote

PACKAGES = ("bitnet_engine", "bitnet_engine.bench", "bitnet_engine.formats", "bitnet_parity", "bitnet_parity.faults")


def build(folder: Path) -> None:
    """Write the pages into `folder`. Raises what pdoc warns of."""
    import pdoc
    import pdoc.render

    for name in PACKAGES:
        package = import_module(name)
        # The packages import on use; pdoc looks at what is there.
        vars(package).update({public: getattr(package, public) for public in package.__all__})
    pdoc.render.configure(docformat="google", show_source=False, footer_text="bitnet-tui")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pdoc.pdoc(*PACKAGES, output_directory=folder)


def broken_links(folder: Path) -> list[str]:
    """Return the links between the pages of `folder` whose page or place is not there."""
    pages = {page.resolve(): _markup(page) for page in folder.rglob("*.html")}
    places = {page: {unescape(found) for found in re.findall(r'\bid="([^"]+)"', text)} for page, text in pages.items()}
    broken = []
    for page, text in pages.items():
        for link in map(unescape, re.findall(r'\bhref="([^"]+)"', text)):
            file, _, place = unquote(link).partition("#")
            target = (page.parent / file).resolve() if file else page
            if not re.match(r"\w+:", link) and (target not in places or (place and place not in places[target])):
                broken.append(f"{page.relative_to(folder.resolve())}: {link}")
    return broken


def _markup(page: Path) -> str:
    """Return a page without its scripts, which build links of their own."""
    return re.sub(r"<script.*?</script>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def main() -> None:
    """Build the reference into the folder that the command line names, and check its links."""
    folder = Path(sys.argv[1])
    build(folder)
    if broken := broken_links(folder):
        sys.exit("\n".join(f"a link that leads nowhere: {link}" for link in broken))
    sys.stdout.write(f"{folder}: {len(list(folder.rglob('*.html')))} pages, every link leads somewhere\n")


if __name__ == "__main__":
    main()
