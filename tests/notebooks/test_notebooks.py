"""The chapters' notebooks: in step with the pages, plain Markdown, and running where Colab would run them."""

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import notebooks
import pytest
from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = notebooks.chapters()


@pytest.fixture(params=CHAPTERS)
def notebook(request):
    return nbformat.read(notebooks.path(request.param), 4)


def text_of(notebook):
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def test_notebooks_are_in_step_with_the_pages():
    script = ROOT / "book" / "_ext" / "notebooks.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]


def test_there_are_no_outputs_and_the_first_cell_installs(notebook):
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    owner, name, branch = notebooks.repository()
    assert f"git+https://github.com/{owner}/{name}@{branch}" in code[0].source


def test_nothing_of_the_pages_markup_is_left(notebook):
    text = text_of(notebook)
    macros = notebooks.settings()["sphinx"]["config"]["mathjax3_config"]["tex"]["macros"]
    for trace in (r"\{[\w:]+\}`", r"^(?:`{3,}|:{3,})\{", r"^:\w+:", r"\.ipynb\b", "⟦|⟧", r"`(?:fig|eq|thm)-"):
        assert not re.search(trace, text, re.M), trace
    # \arcsin is a macro of the pages and of TeX alike.
    assert not re.search(rf"\\(?:{'|'.join(set(macros) - {'arcsin'})})(?![A-Za-z])", text)
    for figure in re.findall(r"^\*\*Fig\. (\d+\.\d+)\.\*\* (.*)", text, re.M):
        assert len(figure[1]) > 20


def test_numbers_are_those_of_the_page(site, notebook):
    (address,) = re.findall(r"as a page\]\((.*?)\)", notebook.cells[0].source)
    page = site / address.removeprefix(notebooks.site() + "/")
    article = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser").select_one("article")
    captions = [caption.get_text().strip() for caption in article.select("figcaption .caption-number")]
    assert re.findall(r"^\*\*(Fig\. \d+\.\d+)\.\*\*", text_of(notebook), re.M) == captions
    titles = [title.get_text(" ") for title in article.select("div.proof > p.admonition-title")]
    claims = [re.match(r"(?:Theorem|Proposition|Lemma) \d+\.\d+", " ".join(t.split())) for t in titles]
    assert re.findall(r"^\*\*((?:Theorem|Proposition|Lemma) \d+\.\d+)\*\*", text_of(notebook), re.M) == [
        claim[0] for claim in claims if claim
    ]


def test_links_lead_somewhere(site, notebook):
    links = re.findall(r"\]\((\S+?)\)", text_of(notebook))
    own = set(re.findall(r"<a id='([\w-]+)'", text_of(notebook)))
    assert links
    for link in links:
        target, anchor = link.partition("#")[::2]
        if not target:
            assert anchor in own, link
        elif target.startswith(notebooks.site()):
            page = site / target.removeprefix(notebooks.site() + "/")
            soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
            assert not anchor or soup.find(id=anchor), link


@pytest.mark.parametrize("chapter", [*CHAPTERS, *notebooks.assignments()])
def test_buttons_lead_to_the_notebook(site, chapter):
    page = BeautifulSoup((site / f"{chapter}.html").read_text(encoding="utf-8"), "html.parser")
    (launch,) = {
        a["href"] for a in page.select("a[href*='colab.research.google.com']") if "btn" in a.get("class", [])
    }
    owner, name, branch = notebooks.repository()
    place = urlsplit(launch).path.removeprefix(f"/github/{owner}/{name}/blob/{branch}/")
    assert (ROOT / unquote(place)) == notebooks.path(chapter)
    assert (ROOT / unquote(place)).exists()
    (download,) = {a["href"] for a in page.select("a.btn-download-notebook-button")}
    downloaded = (site / f"{chapter}.html").parent / download
    assert downloaded.read_text("utf-8") == notebooks.path(chapter).read_text("utf-8")


def test_pages_without_cells_have_no_launch_button(site):
    for page in site.rglob("*.html"):
        if str(page.relative_to(site).with_suffix("")) not in [*CHAPTERS, *notebooks.assignments()]:
            assert "btn-launch-colab" not in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_runs_from_top_to_bottom(execute, tmp_path, chapter):
    execute(notebooks.path(chapter), tmp_path)


def test_installing_changes_nothing_that_was_there(colab, execute, versions, tmp_path):
    notebook = nbformat.read(notebooks.path(CHAPTERS[0]), 4)
    notebook.cells = [cell for cell in notebook.cells if cell.cell_type == "code"][:1]
    folder = tmp_path / "empty"
    folder.mkdir()
    nbformat.write(notebook, tmp_path / "install.ipynb")
    execute(tmp_path / "install.ipynb", folder)
    python, before, _ = colab
    after = versions(python)
    assert {name: after.get(name) for name in before} == before
    assert "aetutor" in after
