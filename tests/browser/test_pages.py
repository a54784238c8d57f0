"""The built site in Chromium, with no network but loopback."""

import contextlib
import functools
import http.server
import re
import shutil
import threading
from pathlib import Path

import pytest
from conftest import missing

ROOT = Path(__file__).resolve().parents[2]
PAGES = re.findall(r"(?:file|root): (\S+)", (ROOT / "_toc.yml").read_text(encoding="utf-8"))
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDTHS = {"desktop": 1280, "phone": 390}


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="session")
def address(site):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def browser(site):
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        missing("browser", "no Chromium on the PATH")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield browser
        browser.close()


class Visit:
    """A page that notes what went wrong while it was open."""

    def __init__(self, page, allowed):
        self.page, self.problems, self.elsewhere = page, [], []
        page.on("console", lambda m: self.problems.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.route("**/*", functools.partial(self._route, allowed))

    def _route(self, allowed, route):
        if route.request.url.startswith((allowed, "data:", "blob:")):
            route.continue_()
        else:
            self.elsewhere.append(route.request.url)
            route.abort()

    def open(self, url):
        self.page.goto(url, wait_until="load")
        # MathJax has a promise that resolves when all is typeset; pages without formulas have no MathJax.
        self.page.evaluate("window.MathJax?.startup?.promise")


@contextlib.contextmanager
def visit(browser, allowed, width=1280, scheme="light"):
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    try:
        yield Visit(context.new_page(), allowed)
    finally:
        context.close()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_page(browser, address, name, width):
    with visit(browser, address, WIDTHS[width]) as tab:
        tab.open(f"{address}/{name}.html")
        pictures = ROOT / "_build" / "screenshots"
        pictures.mkdir(exist_ok=True)
        tab.page.screenshot(path=pictures / f"{name.replace('/', '-')}-{width}.png", full_page=True)
        state = tab.page.evaluate(
            """() => ({
                formulas: document.querySelectorAll(".math").length,
                typeset: document.querySelectorAll(".math:has(mjx-container)").length,
                wrong: document.querySelectorAll("mjx-merror").length,
                sideways: document.documentElement.scrollWidth - document.documentElement.clientWidth,
                broken: [...document.images].filter(i => i.offsetParent && !i.naturalWidth).map(i => i.src),
            })"""
        )
        assert not tab.problems
        assert not tab.elsewhere
        assert state["typeset"] == state["formulas"]
        assert state["wrong"] == 0
        assert state["sideways"] <= 0
        assert not state["broken"]


def test_theorem_boxes_show(browser, address):
    with visit(browser, address) as tab:
        tab.open(f"{address}/book/minimizers/rate-above-one.html")
        boxes = tab.page.locator("div.proof.theorem")
        assert boxes.count() == 2
        assert boxes.first.is_visible()
        assert "The limit for rates above one" in boxes.first.inner_text()


def test_solutions_unfold(browser, address):
    with visit(browser, address) as tab:
        tab.open(f"{address}/book/minimizers/rate-above-one.html")
        solution = tab.page.locator("div.solution").first
        text = solution.get_by_text("They agree")
        assert not text.is_visible()
        solution.locator("button.toggle-button").click()
        text.wait_for(state="visible")


@pytest.mark.parametrize("by", ["server", "file"])
def test_search_finds_a_term(browser, address, site, by):
    start = address if by == "server" else site.as_uri()
    with visit(browser, start) as tab:
        tab.page.goto(f"{start}/search.html?q=whitening")
        tab.page.wait_for_selector("#search-results a[href*='compressing-with-signs']", timeout=10_000)
        assert not tab.elsewhere


def test_theme_switches(browser, address):
    with visit(browser, address) as tab:
        tab.open(f"{address}/book/model/kernels.html")
        seen = set()
        for _ in range(3):
            seen.add(tab.page.evaluate("document.documentElement.dataset.theme"))
            tab.page.locator(".theme-switch-button").last.click()
        assert seen == {"light", "dark"}


def test_dark_plots_are_dark_and_photographs_are_not_inverted(browser, address):
    with visit(browser, address, scheme="dark") as tab:
        tab.open(f"{address}/book/model/compressing-with-signs.html")
        filters = tab.page.evaluate(
            """() => [...document.querySelectorAll("figure img")].map(
                i => [i.classList.contains("photo"), getComputedStyle(i).filter]
            )"""
        )
        assert {photo for photo, _ in filters} == {True, False}
        assert all(("invert" in how) != photo for photo, how in filters)


def test_the_menu_opens_on_a_phone(browser, address):
    with visit(browser, address, width=WIDTHS["phone"]) as tab:
        tab.open(f"{address}/book/index.html")
        tab.page.locator("button.primary-toggle:visible").click()
        menu = tab.page.locator(".bd-sidebar-primary").get_by_role("link", name="3. Hermite polynomials")
        menu.wait_for(state="visible")
        assert menu.bounding_box()["x"] >= 0


def test_pages_open_from_the_disk(browser, site):
    with visit(browser, "file:") as tab:
        tab.open(f"{site.as_uri()}/book/model/kernels.html")
        assert tab.page.locator("mjx-container").count() > 50
        assert not tab.problems
        assert not tab.elsewhere
