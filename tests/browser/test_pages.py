"""The built site in Chromium, with no network but loopback."""

import contextlib
import functools
import http.server
import re
import shutil
import threading
from pathlib import Path

import notebooks
import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from optional import missing

from aetutor import activations, descent, encoders, experiments, limits, risk, sources

ROOT = Path(__file__).resolve().parents[2]
PAGES = notebooks.pages()
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LIVE = [
    (str(page.relative_to(ROOT / "book").with_suffix("")), name)
    for page in sorted((ROOT / "book").glob("*/*.md"))
    for name in re.findall(r"^    name: (fig-live-[\w-]+)$", page.read_text(encoding="utf-8"), re.M)
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
        for figure in tab.page.locator(".live-figure").all():
            figure.locator("svg").wait_for()
        tab.page.wait_for_timeout(100)
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
        assert (
            tab.page.locator(".live-figure").count() == tab.page.locator(".live-figure[data-ready]").count()
        )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_accessibility(browser, address, name, scheme):
    with visit(browser, address, scheme=scheme) as tab:
        tab.open(f"{address}/{name}.html")
        found = Axe().run(tab.page).response["violations"]
        grave = {
            f"{each['id']}: {each['help']}": [node["html"][:200] for node in each["nodes"]]
            for each in found
            if each["impact"] in ("serious", "critical")
        }
        assert not grave


class Live:
    """A figure with sliders in an open page, moved by keys as a reader would."""

    def __init__(self, tab, name):
        self.page = tab.page
        self.box = tab.page.locator(f".cell:has(#{name}) .live-figure[data-ready]")
        self.box.wait_for()

    def control(self, label):
        """The slider or the list with this label."""
        return self.box.locator("label", has_text=re.compile(f"^{re.escape(label)} ")).locator(
            "input, select"
        )

    def press(self, label, key):
        """Press a key on the control with this label."""
        self.control(label).focus()
        self.page.keyboard.press(key)

    def numbers(self):
        """What stands above the figure."""
        self.page.wait_for_timeout(50)
        text = self.box.get_by_role("status").inner_text()
        title = self.box.locator(".role-title-text").last.text_content()
        assert re.sub(r"\s", "", text) == re.sub(r"\s", "", title)
        return [float(number) for number in re.findall(r"(?<![\w.])\d+\.?\d*", text)]


@pytest.fixture
def live(browser, address):
    with contextlib.ExitStack() as stack:

        def open_figure(page, name, width="desktop"):
            tab = stack.enter_context(visit(browser, address, WIDTHS[width]))
            tab.open(f"{address}/book/{page}.html")
            return Live(tab, name)

        yield open_figure


@pytest.mark.parametrize("width", WIDTHS)
def test_limit_answers_to_keys(live, width):
    figure = live("minimizers/the-limit", "fig-live-limit", width)
    figure.press("rate r", "ArrowRight")
    expected = [1.05, activations.sign.gain, limits.isotropic(1.05), limits.shannon(1.05)]
    assert figure.numbers() == pytest.approx(expected, abs=6e-4)
    figure.press("activation", "h")  # hard tanh
    assert figure.numbers()[2] == pytest.approx(limits.isotropic(1.05, activations.hard_tanh), abs=6e-5)


def test_slope_answers_to_keys(live):
    figure = live("model/kernels", "fig-live-slope")
    figure.press("log₁₀ of the slope β", "End")
    sigma = activations.from_function(lambda x: np.tanh(10**1.5 * x), "steep", ())
    beta, gain, _, least = figure.numbers()
    assert beta == pytest.approx(10**1.5, abs=0.01)
    assert (gain, least) == pytest.approx((sigma.gain, limits.isotropic(1, sigma)), abs=6e-5)


def test_plane_answers_to_keys(live):
    figure = live("minimizers/rate-above-one", "fig-live-plane")
    figure.press("row 2, degrees", "PageUp")
    degrees = float(figure.control("row 2, degrees").input_value())
    assert degrees > 130
    angles = torch.tensor([90, degrees, 170], dtype=torch.float64).deg2rad()
    B = torch.stack([angles.cos(), angles.sin()], -1)
    expected = float(risk.minimal(B, activations.sign)), limits.isotropic(1.5)
    assert figure.numbers()[:2] == pytest.approx(expected, abs=6e-5)


def test_steps_answer_to_keys(live):
    figure = live("gradient-methods/projected-gradient-descent", "fig-live-steps")
    for _ in range(3):
        figure.press("step", "ArrowRight")
    run = descent.projected_gradient(encoders.gaussian(64, 64, 0), steps=3, step_size=0.15)
    assert figure.numbers() == pytest.approx([1, 3, run.risk[-1], run.limit], abs=6e-5)


@pytest.mark.parametrize("width", WIDTHS)
def test_water_answers_to_keys(live, width):
    figure = live("beyond-gaussian/water-filling", "fig-live-water", width)
    figure.press("scale of block 2", "ArrowLeft")
    figure.press("rate r", "ArrowRight")
    D = [2, 0.95, 0.5]
    wanted, shannon = limits.anisotropic(D, 1.05), limits.rate_distortion(D, 1.05)
    variance = np.mean(np.square(D))
    rate, level, *rows, least, best = figure.numbers()
    assert rate == 1.05
    assert level == pytest.approx(wanted.level, abs=6e-4)
    assert rows == pytest.approx(wanted.allocation, abs=6e-4)
    assert (least, best) == pytest.approx((wanted.risk / variance, shannon.risk / variance), abs=6e-5)


def test_images_answer_to_keys(live):
    figure = live("beyond-gaussian/real-images", "fig-live-images")
    figure.press("image", "ArrowRight")
    train, test, _, _ = experiments.prepare(sources.mnist(), 100)
    B = encoders.water_filled(100, np.ones(100), 0)
    A = risk.least_squares_decoder(B, activations.sign, train.data)
    lost = (test.data - risk.reconstruct(A, B, activations.sign, test.data)).square().mean(dim=1)
    rate, mean, one, least = figure.numbers()
    assert rate == 1
    assert (mean, one) == pytest.approx(
        (float(lost.mean() / test.data.square().mean()), float(lost[1] / test.data[1].square().mean())),
        abs=6e-4,
    )
    assert least == pytest.approx(limits.isotropic(1), abs=6e-4)


def test_digit_answers_to_keys(live):
    figure = live("model/compressing-with-signs", "fig-live-digit")

    def pictures():
        return figure.box.locator("image").evaluate_all(
            "all => all.map(i => i.getAttribute('xlink:href') || i.href.baseVal)"
        )

    before = pictures()
    figure.press("image", "ArrowRight")
    train, test = sources.mnist().split(held_out=500, seed=0)
    x = sources.whiten(train, rank=100).forward(test.data)
    B = encoders.orthogonal(100, 100, 0)
    lost = (x - risk.reconstruct(risk.optimal_decoder(B, activations.sign), B, activations.sign, x)).square()
    bits, one, mean, least = figure.numbers()
    assert bits == 100
    assert one == pytest.approx(float(lost[1].sum() / x[1].square().sum()), abs=6e-4)
    assert (mean, least) == pytest.approx(
        (float(lost.mean() / x.square().mean()), limits.isotropic(1)), abs=6e-4
    )
    after = pictures()
    assert len(after) == 3
    assert not set(before) & set(after)


@pytest.mark.parametrize(("page", "name"), LIVE)
def test_live_figures_fit_a_phone_and_answer_at_once(live, page, name):
    figure = live(page, name, "phone")
    place, drawing = (figure.box.bounding_box(), figure.box.locator("svg").bounding_box())
    assert drawing["width"] <= place["width"] + 1
    typical = figure.box.evaluate(
        """async place => {
            const times = [];
            for (const input of place.querySelectorAll("input[type=range]")) {
                for (let i = 0; i < 5; i++) {
                    input.stepUp(i % 2 ? -1 : 1);
                    const begin = performance.now();
                    input.dispatchEvent(new Event("input", {bubbles: true}));
                    await place.view.runAsync();
                    times.push(performance.now() - begin);
                }
            }
            times.sort((a, b) => a - b);
            return times[Math.floor(times.length / 2)];
        }"""
    )
    assert typical < 50, f"{typical:.0f} ms from slider to picture"


def test_panels_say_how_to_run_them(browser, address):
    with visit(browser, address) as tab:
        tab.open(f"{address}/book/gradient-methods/projected-gradient-descent.html")
        link = tab.page.locator(".live-panel").get_by_role("link").get_attribute("href")
        assert link.endswith("/book/notebooks/gradient-methods/projected-gradient-descent.ipynb")


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
