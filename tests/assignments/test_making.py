"""What is made of the sources: in step, nothing that students must not see, links that lead somewhere."""

import ast
import json
import re
import subprocess
import sys
import zipfile
from io import BytesIO

import assignments
import jupytext
import nbformat
import notebooks
import pytest
import trials
from bs4 import BeautifulSoup

ROOT = trials.ROOT


def secrets(name):
    """Lines of the source that students must not see: solutions, sample answers, rubrics, hidden tests."""
    source = jupytext.read(assignments.sources() / f"{name}.md")
    block, hidden, shown = "", set(), set()
    for cell in source.cells:
        if cell.cell_type == "raw":
            opened = re.match(r"# BEGIN (\w+)", cell.source)
            block = opened[1] if opened else ""
            continue
        lines = [line.strip() for line in cell.source.splitlines()]
        if block == "SOLUTION" and cell.cell_type == "markdown":
            hidden |= set(lines)
        elif block == "SOLUTION":
            inside = False
            for line in lines:
                if line in ("# BEGIN SOLUTION", "# END SOLUTION"):
                    inside = line == "# BEGIN SOLUTION"
                elif inside or line.endswith("# SOLUTION"):
                    hidden.add(line.removesuffix("# SOLUTION").strip())
                else:
                    shown.add(line)
        elif block == "TESTS" and re.search(r"^hidden: true$", cell.source, re.M):
            hidden |= set(lines)
            (test,) = [n for n in ast.parse(cell.source).body if isinstance(n, ast.FunctionDef)]
            hidden |= {line.strip() for line in ast.unparse(test).splitlines()}
        else:
            shown |= set(lines)
            if block == "TESTS":
                shown |= {line.strip() for line in ast.unparse(ast.parse(cell.source)).splitlines()}
    return {line for line in hidden - shown if len(line) > 12 and not line.startswith(("import ", "from "))}


@pytest.mark.parametrize("name", trials.names())
def test_students_see_no_solution_and_no_hidden_test(name):
    found = secrets(name)
    assert len(found) > 40
    made = trials.made(name)
    texts = {
        "notebook": "\n".join(cell.source for cell in nbformat.reads(made.student, 4).cells),
        **made.public,
    }
    texts |= {"metadata": json.dumps([c.metadata for c in nbformat.reads(made.student, 4).cells])}
    for where, text in texts.items():
        lines = {line.strip() for line in text.splitlines()}
        assert not found & lines, where
        assert not re.search(r"# SOLUTION|(BEGIN|END) (SOLUTION|TEST)|Rubric", text), where
        assert "hidden=True" not in text, where
    # The scan sees what it looks for where it is.
    solved = "\n".join(cell.source for cell in nbformat.reads(made.solution, 4).cells)
    with zipfile.ZipFile(BytesIO(made.autograder)) as package:
        tests = "\n".join(package.read(n).decode() for n in package.namelist() if n.startswith("tests/"))
    there = {line.strip() for line in (solved + "\n" + tests).splitlines()}
    assert len(found & there) > 0.6 * len(found)


@pytest.mark.parametrize("name", trials.names())
def test_the_site_and_the_package_keep_the_secrets(name, site):
    found = {line for line in secrets(name) if len(line) > 30 and not line.startswith("| :")}
    for path in [*site.rglob("*.html"), *site.rglob("*.ipynb"), *site.rglob("*.txt"), *site.rglob("*.js")]:
        text = path.read_text(encoding="utf-8", errors="ignore")
        if name in text:
            told = [line for line in found if line in text]
            assert len(told) < 3, (path, told)  # a line or two of code may be found anywhere
    assert not [path for path in site.rglob("*") if "sources" in path.parts and "assignments" in path.parts]


def test_notebooks_and_tests_are_in_step_with_the_sources():
    if not trials.names():
        pytest.skip("the assignments' sources are not here")
    script = ROOT / "book" / "_ext" / "assignments.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]


@pytest.mark.parametrize("name", trials.names())
def test_questions_say_their_points(name):
    notebook = nbformat.reads(trials.made(name).student, 4)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    said = {
        f"q{number}": float(points)
        for number, points in re.findall(r"^## Question (\d+)\..*\(([\d.]+) points?\)$", text, re.M)
    }
    package = trials.autograder(name)
    assert said == package.possible | package.written
    assert [*said] == [f"q{number}" for number in range(1, len(said) + 1)]


@pytest.mark.parametrize("name", trials.names())
def test_advice_and_links_lead_somewhere(name, site):
    package = trials.autograder(name)
    texts = [*package.tests.values(), trials.made(name).student, trials.made(name).solution]
    for source in package.tests.values():
        cases = re.findall(r"@test_case\((.*?)\)\ndef", source, re.S)
        assert all(notebooks.site() in case for case in cases if "hidden=False" in case), (
            "a public test has no link"
        )
    links = set(re.findall(rf"{re.escape(notebooks.site())}/[\w./#%-]*[\w#%]", "\n".join(texts)))
    assert links
    for link in links:
        page, _, anchor = link.removeprefix(f"{notebooks.site()}/").partition("#")
        assert (site / page).is_file(), link
        if anchor:
            soup = BeautifulSoup((site / page).read_text(encoding="utf-8"), "html.parser")
            assert soup.find(id=anchor), link


def test_links_of_an_assignments_page_stay_in_the_site(site):
    for page in notebooks.assignments():
        text = (site / f"{page}.html").read_text(encoding="utf-8")
        article = BeautifulSoup(text, "html.parser").select_one("article")
        assert not [a["href"] for a in article.select("a[href]") if a["href"].startswith(notebooks.site())]
