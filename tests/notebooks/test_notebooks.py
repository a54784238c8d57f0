"""The chapters' notebooks: in step with the pages, plain Markdown, and running where Colab would run them."""

import json
import os
import re
import subprocess
import sys
import venv
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import notebooks
import pytest
from bs4 import BeautifulSoup
from optional import missing

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = notebooks.chapters()
COLAB = ROOT / "_build" / "colab" / "bin" / "python"
RUN = """
import sys, nbformat
from nbclient import NotebookClient
NotebookClient(nbformat.read(sys.argv[1], 4), timeout=170, kernel_name="python3").execute()
"""


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


@pytest.mark.parametrize("chapter", CHAPTERS)
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
        if str(page.relative_to(site).with_suffix("")) not in CHAPTERS:
            assert "btn-launch-colab" not in page.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def published(tmp_path_factory):
    """Settings under which git finds this tree at the address where the notebooks install from."""
    owner, name, branch = notebooks.repository()
    tree = tmp_path_factory.mktemp("published")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for file in listed.stdout.splitlines():
        if (ROOT / file).exists():
            (tree / file).parent.mkdir(parents=True, exist_ok=True)
            (tree / file).write_bytes((ROOT / file).read_bytes())
    who = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    for command in (["init", "-q", "-b", branch], ["add", "-A"], [*who, "commit", "-qm", "tree"]):
        subprocess.run(["git", *command], cwd=tree, check=True)
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{tree.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": f"https://github.com/{owner}/{name}",
    }


@pytest.fixture(scope="session")
def colab(published, tmp_path_factory):
    """An environment on top of Colab's, which stays as it is; and what Colab's holds."""
    if not COLAB.exists():
        missing("colab", "there is no environment like Colab's: make _build/colab/ready")
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    below, above = (subprocess.check_output([p, "-c", where], text=True).strip() for p in (COLAB, python))
    Path(above, "colab.pth").write_text(below + "\n")
    subprocess.run([python, "-m", "pip", "uninstall", "-qy", "setuptools"], check=True)  # Colab's is there
    before = versions(python)
    assert "aetutor" not in before
    assert before["torch"]
    return python, before, os.environ | published


def versions(python):
    listed = subprocess.check_output(
        [python, "-m", "pip", "list", "--format=json"], stderr=subprocess.DEVNULL
    )
    return {package["name"].lower(): package["version"] for package in json.loads(listed)}


def execute(colab, path, folder):
    python, _, environment = colab
    assert not any(folder.iterdir())
    done = subprocess.run(
        [python, "-c", RUN, path], cwd=folder, env=environment, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_runs_from_top_to_bottom(colab, tmp_path, chapter):
    execute(colab, notebooks.path(chapter), tmp_path)


def test_installing_changes_nothing_that_was_there(colab, tmp_path):
    notebook = nbformat.read(notebooks.path(CHAPTERS[0]), 4)
    notebook.cells = [cell for cell in notebook.cells if cell.cell_type == "code"][:1]
    folder = tmp_path / "empty"
    folder.mkdir()
    nbformat.write(notebook, tmp_path / "install.ipynb")
    execute(colab, tmp_path / "install.ipynb", folder)
    python, before, _ = colab
    after = versions(python)
    assert {name: after.get(name) for name in before} == before
    assert "aetutor" in after
