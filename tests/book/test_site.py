"""The built site as files: complete, self-contained, links that lead somewhere."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import notebooks
import pytest
from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parents[2]
PAGES = notebooks.pages()

# What a browser fetches by itself, as tag and attribute; following a link is the reader's choice.
FETCHED = [
    ("script", "src"),
    ("img", "src"),
    ("iframe", "src"),
    ("source", "src"),
    ("video", "src"),
    ("audio", "src"),
    ("embed", "src"),
    ("object", "data"),
]
FETCHED_LINKS = {
    "stylesheet",
    "icon",
    "preload",
    "prefetch",
    "modulepreload",
    "preconnect",
    "dns-prefetch",
    "manifest",
}
REMOTE = re.compile(r"^(?:https?:)?//", re.IGNORECASE)
REMOTE_IN_CSS = re.compile(r"""(?:url\(\s*|@import\s+)['"]?((?:https?:)?//[^'")\s]+)""", re.IGNORECASE)
# A page's own scripts that name a script, a style or a module on another host.
REMOTE_IN_SCRIPT = re.compile(r"""['"]((?:https?:)?//[^'"\s]+\.(?:m?js|css)\b[^'"\s]*)['"]""", re.IGNORECASE)


def third_party(html: str) -> list[str]:
    """Addresses on other hosts that opening this page would fetch."""
    soup = BeautifulSoup(html, "html.parser")
    found = [tag.get(attribute, "") for name, attribute in FETCHED for tag in soup.find_all(name)]
    found += [tag.get("srcset", "") for tag in soup.find_all(srcset=True)]
    found += [tag.get("href", "") for tag in soup.find_all("link") if FETCHED_LINKS & set(tag.get("rel", []))]
    found = [address for address in found if REMOTE.match(address)]
    for tag in soup.find_all(style=True):
        found += REMOTE_IN_CSS.findall(tag["style"])
    for tag in soup.find_all("style"):
        found += REMOTE_IN_CSS.findall(tag.text)
    for tag in soup.find_all("script"):
        found += REMOTE_IN_SCRIPT.findall(tag.text)
    return found


@pytest.mark.parametrize(
    "planted",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="//cdn.example/x.css">',
        '<link rel="preconnect" href="https://fonts.example">',
        '<div style="background: url(https://cdn.example/x.png)"></div>',
        "<style>@import 'https://cdn.example/x.css';</style>",
        '<script>const THEBE = "https://cdn.example/lib/index.js"</script>',
        '<img src="HTTP://cdn.example/x.png">',
    ],
)
def test_the_scan_finds_what_is_planted(planted):
    assert third_party(f"<html><body>{planted}</body></html>")


def test_the_scan_allows_links():
    assert not third_party(
        '<a href="https://example.org">x</a><link rel="canonical" href="https://example.org">'
    )


def html_files(site):
    return [path for path in site.rglob("*.html") if "_static" not in path.relative_to(site).parts]


def test_every_page_is_built(site):
    missing = [page for page in PAGES if not (site / f"{page}.html").exists()]
    assert not missing


def test_no_page_asks_another_host(site):
    found = {
        str(path.relative_to(site)): third_party(path.read_text(encoding="utf-8"))
        for path in html_files(site)
    }
    assert not {page: addresses for page, addresses in found.items() if addresses}


def test_no_stylesheet_asks_another_host(site):
    found = {
        str(path.relative_to(site)): hits
        for path in site.rglob("*.css")
        if (hits := REMOTE_IN_CSS.findall(path.read_text(encoding="utf-8", errors="replace")))
    }
    assert not found


def test_links_within_the_site_lead_somewhere(site):
    anchors, broken = {}, []
    for path in html_files(site):
        soup = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        anchors[path] = {tag["id"] for tag in soup.find_all(id=True)}
        if path.parent == site and path.name == "index.html":
            continue  # a redirect
        for tag in soup.find_all("a", href=True):
            link = urlsplit(tag["href"])
            if not link.scheme and not link.netloc and (link.path or link.fragment):
                target = (path.parent / unquote(link.path)).resolve() if link.path else path
                broken.append((path, target, unquote(link.fragment)))
    bad = [
        (str(source.relative_to(site)), str(target), fragment)
        for source, target, fragment in broken
        if not target.exists() or (fragment and target in anchors and fragment not in anchors[target] | {"#"})
    ]
    assert not bad


@pytest.fixture(params=PAGES)
def article(request, site):
    html = (site / f"{request.param}.html").read_text(encoding="utf-8")
    return BeautifulSoup(html, "html.parser").select_one("article.bd-article")


def test_figures_say_what_they_show(article):
    silent = [image["src"] for image in article.find_all("img") if len(image.get("alt", "")) < 30]
    assert not silent


def test_nothing_raw_is_left(article):
    for tag in article.select("pre, code, script, style, .math"):
        tag.extract()
    text = article.get_text()
    raw = re.findall(r"\{[a-z]+(?::[a-z]+)?\}`|^:{3,}|`{3}|\$", text, re.MULTILINE)
    assert not raw


def test_no_output_is_an_error(article):
    outputs = " ".join(tag.get_text() for tag in article.select(".cell_output"))
    assert not re.search(r"Traceback|Error:|Warning:", outputs)


PARTS = ("model", "minimizers", "gradient-methods", "beyond-gaussian")


@pytest.mark.parametrize("page", [page for page in PAGES if page.split("/")[1] in PARTS])
def test_chapters_have_the_parts_of_a_chapter(page, site):
    soup = BeautifulSoup((site / f"{page}.html").read_text(encoding="utf-8"), "html.parser")
    titles = " ".join(tag.get_text() for tag in soup.find_all("h2"))
    assert all(part in titles for part in ("Move something", "Exercises", "What to remember"))
    assert len(soup.select("div.exercise")) >= 3
    assert len(soup.select("div.solution")) >= 3
    assert soup.select("figure figcaption")


def test_the_claims_page_lists_every_claim(site):
    import claims

    soup = BeautifulSoup((site / "book/reference/claims.html").read_text(encoding="utf-8"), "html.parser")
    linked = {urlsplit(tag["href"]).fragment for tag in soup.select("article table a[href]")}
    assert {c.label for c in claims.claims()} <= linked


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_light(name, site):
    """At most 1.5 MB of text, figures and their data, before the scripts and styles that all pages share."""
    page = site / f"{name}.html"
    soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
    pictures = {(page.parent / unquote(i["src"])).resolve() for i in soup.select("article img[src]")}
    size = page.stat().st_size + sum(picture.stat().st_size for picture in pictures)
    assert size <= 1.5e6, f"{size / 1e6:.2f} MB"


def test_code_links_to_the_api(site):
    chapter = (site / "book" / "model" / "kernels.html").read_text(encoding="utf-8")
    links = BeautifulSoup(chapter, "html.parser").select("div.highlight a.sphinx-codeautolink-a")
    assert any(link["href"].endswith("reference/api.html#aetutor.explore.linear_to_sign") for link in links)
