"""A notebook for each chapter, made from its page: ``python book/_ext/notebooks.py``.

sphinx-tojupyter renders the pages' directives and roles as Markdown; what follows here makes the result
stand on its own: macros spelt out, links to the site, captions, folded solutions, a cell that installs the
package. Nothing is executed, and the notebooks have no outputs.
"""

from __future__ import annotations

import contextlib
import functools
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nbformat
import yaml
from docutils import nodes

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "book" / "notebooks"
EXTRAS = "data,explore,sweep"

_BEGIN, _END = "⟦", "⟧"  # ⟦name⟧ caption ⟧: where a figure's caption begins and ends
_CELL = re.compile(r"^(`{3,})\{code-cell\}[^\n]*\n(?:---\n(?P<options>.*?)^---\n)?.*?^\1\n", re.S | re.M)


@functools.cache
def settings() -> dict[str, Any]:
    """_config.yml."""
    return yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))


def repository() -> tuple[str, str, str]:
    """Owner, name and branch, from the one place that says them."""
    place = settings()["repository"]
    owner, name = urlsplit(place["url"]).path.strip("/").split("/")
    return owner, name, place["branch"]


def site() -> str:
    """Where the book is published: GitHub's pages of the repository."""
    owner, name, _ = repository()
    return f"https://{owner}.github.io/{name}"


def pages() -> list[str]:
    """All pages of _toc.yml, as paths from the root without suffix."""
    return re.findall(r"(?:file|root): (\S+)", (ROOT / "_toc.yml").read_text(encoding="utf-8"))


@functools.cache
def chapters() -> list[str]:
    """The pages that have cells."""
    texts = {name: ROOT / f"{name}.md" for name in pages() if name not in assignments()}
    return [name for name, text in texts.items() if "{code-cell}" in text.read_text(encoding="utf-8")]


def assignments() -> list[str]:
    """The pages that are notebooks themselves."""
    return [name for name in pages() if name.startswith("book/notebooks/assignments/")]


def path(chapter: str) -> Path:
    """The notebook of a chapter or of an assignment."""
    if chapter in assignments():
        return ROOT / f"{chapter}.ipynb"
    return FOLDER / Path(chapter).relative_to("book").with_suffix(".ipynb")


def colab(chapter: str) -> str:
    """Address that opens a chapter's notebook on Colab."""
    owner, name, branch = repository()
    place = path(chapter).relative_to(ROOT).as_posix()
    return f"https://colab.research.google.com/github/{owner}/{name}/blob/{branch}/{place}"


def _options(cell: re.Match[str]) -> dict[str, Any]:
    """A code cell's own settings."""
    return yaml.safe_load(cell["options"] or "") or {}


def captions(app: Any, docname: str, source: list[str]) -> None:
    """Put a figure after each cell that has one: without execution there would be none to number."""
    if app.builder.name != "jupyter":
        return

    def with_figure(match: re.Match[str]) -> str:
        figure = _options(match).get("mystnb", {}).get("figure")
        if not figure:
            return match[0]
        caption = figure["caption"].strip()
        name = figure["name"]
        return (
            f"{match[0]}\n``````{{figure}} /book/_static/logo.svg\n:name: {name}\n"
            f"{_BEGIN}{name}{_END}{caption}\n``````\n\n{_END}\n"
        )

    source[0] = _CELL.sub(with_figure, source[0])


def make() -> dict[str, str]:
    """The text of every notebook, by chapter."""
    from jupyter_book.config import get_final_config
    from sphinx.application import Sphinx

    config, _ = get_final_config(
        user_yaml=ROOT / "_config.yml", sourcedir=ROOT, cli_config={"latex_individualpages": False}
    )
    config["extensions"] = [*config["extensions"], "sphinx_tojupyter"]
    config |= {
        "external_toc_path": str(ROOT / "_toc.yml"),
        "nb_execution_mode": "off",
        "tojupyter_lang_synonyms": ["ipython", "ipython3", "python"],
    }
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        app = Sphinx(
            ROOT,
            None,
            out,
            Path(folder) / "doctrees",
            "jupyter",
            config,
            None,
            freshenv=True,
            warning=sys.stderr,
        )
        app.connect("source-read", captions)
        with contextlib.suppress(SystemExit):  # the builder's way to say that it is done
            app.build()
        raw = {name: nbformat.read(out / f"{name}.ipynb", 4) for name in chapters()}
        figures = {
            name: ".".join(map(str, number))
            for kinds in app.env.toc_fignumbers.values()
            for name, number in kinds.get("figure", {}).items()
        }
    anchors = {
        text: label
        for notebook in raw.values()
        for cell in notebook.cells
        for text, label in re.findall(r"\[((?:[A-Z][a-z]+) \d+\.\d+)\]\([^)#]*#([\w-]+)\)", cell.source)
    }
    return {
        name: nbformat.writes(_clean(name, notebook, anchors, figures)) + "\n"
        for name, notebook in raw.items()
    }


def _clean(chapter: str, raw: Any, anchors: dict[str, str], figures: dict[str, str]) -> Any:
    page = (ROOT / f"{chapter}.md").read_text(encoding="utf-8")
    hidden = iter(["hide-input" in _options(match).get("tags", []) for match in _CELL.finditer(page)])
    macros = settings()["sphinx"]["config"]["mathjax3_config"]["tex"]["macros"]
    cells = [
        nbformat.v4.new_markdown_cell(
            f"*This is the notebook of a chapter of {settings()['title']}. "
            f"[Read the chapter as a page]({site()}/{chapter}.html).*"
        ),
        nbformat.v4.new_code_cell(install()),
    ]
    for cell in raw.cells:
        if cell.cell_type == "code":
            fold = {"jupyter": {"source_hidden": True}} if next(hidden) else {}
            cells.append(nbformat.v4.new_code_cell(cell.source, metadata=fold))
        elif r"\newcommand" not in cell.source:
            text = _markdown(cell.source, chapter, macros, anchors)
            for part in filter(None, map(str.strip, text.split(f"\n{_END}"))):
                caption = re.sub(rf"{_BEGIN}(.+?){_END}", lambda m: f"**Fig. {figures[m[1]]}.** ", part)
                cells.append(nbformat.v4.new_markdown_cell(caption))
    assert next(hidden, None) is None, f"{chapter}: cells were lost"
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
    metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def install() -> str:
    """A cell that installs the package."""
    owner, name, branch = repository()
    return (
        "# Installs the book's package where it is missing, as on Colab, and leaves alone what is there.\n"
        "try:\n"
        "    import aetutor\n"
        "except ImportError:\n"
        f'    %pip install --quiet "aetutor[{EXTRAS}] @ git+https://github.com/{owner}/{name}@{branch}"'
    )


def _markdown(text: str, chapter: str, macros: dict[str, Any], anchors: dict[str, str]) -> str:
    text = re.sub(r"\*\*Proof\.\*\*\s+Proof\. ?", "**Proof.** ", text)
    # A figure keeps its number and its caption; the picture is the output of the cell above.
    text = re.sub(r"!\[[^\]]*\]\([^)]*logo\.svg\)\s*", "", text)
    text = re.sub(
        r"\*\*((?:Theorem|Proposition|Lemma|Corollary|Definition) \d+\.\d+)\*\*",
        lambda m: (f"<a id='{anchors[m[1]]}'></a>\n\n" if m[1] in anchors else "") + m[0],
        text,
    )
    text = re.sub(r"^##\s+(\([^\n]*\))(Exercise \d+\.\d+)$", r"### \2 \1", text, flags=re.M)
    text = re.sub(
        r"\A## Solution to\[ ?([^\]]*)\]\([^)]*\)\n+(.*)\Z",
        r"<details><summary>Solution to \1</summary>\n\n\2\n\n</details>",
        text.strip(),
        flags=re.S,
    )
    text = re.sub(
        r"\]\(([\w./-]+)\.ipynb(#[\w-]+)?\)", lambda m: f"]({_address(chapter, m[1])}{m[2] or ''})", text
    )
    text = re.sub(r"<a id='([\w-]+)'></a>\n+", r"<a id='\1' name='\1'></a>\n\n", text)
    text = re.sub(r"^``+(?=\|)", "", text, flags=re.M)
    text = re.sub(r"(?<!\$)\$ (.+?) \$(?!\$)", r"$\1$", text)
    return _expand(text, macros)


def _address(chapter: str, target: str) -> str:
    """Page of the site that a link from a chapter leads to."""
    page = (ROOT / chapter).parent.joinpath(target).resolve().relative_to(ROOT)
    return f"{site()}/{page.as_posix()}.html"


def _expand(text: str, macros: dict[str, Any]) -> str:
    """Spell out the site's macros: other renderers do not know them."""
    for name, meaning in macros.items():
        if isinstance(meaning, str):
            plain = meaning.replace("\\", r"\\")
            text = re.sub(rf"(?<=[_^])\\{name}(?![A-Za-z])", f"{{{plain}}}", text)
            text = re.sub(rf"\\{name}(?![A-Za-z])", plain, text)
            continue
        template, _ = meaning
        while match := re.search(rf"\\{name}(?![A-Za-z])", text):
            argument, end = _argument(text, match.end())
            text = text[: match.start()] + template.replace("#1", argument) + text[end:]
    return text


def _argument(text: str, start: int) -> tuple[str, int]:
    """A macro's argument from `start` on, and where it ends."""
    if text[start] != "{":
        return text[start], start + 1
    depth = 0
    for end in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        if depth == 0:
            return text[start + 1 : end], end + 1
    raise ValueError(f"no closing brace in {text[start : start + 40]!r}")


def buttons(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Give the page of a chapter or an assignment its buttons: run on Colab, download the notebook."""
    if page not in [*chapters(), *assignments()]:
        return
    context["header_buttons"].insert(
        0,
        {
            "type": "link",
            "url": colab(page),
            "text": "Colab",
            "icon": "fas fa-rocket",
            "tooltip": "Open on Colab",
            "label": "launch-colab",
        },
    )
    for group in context["header_buttons"]:
        if group["label"] == "download-buttons":
            there = f"{context['pathto']('_sources', 1)}/{path(page).relative_to(ROOT).as_posix()}"
            group["buttons"].insert(
                0,
                {
                    "type": "link",
                    "url": there,
                    "text": ".ipynb",
                    "icon": "fas fa-code",
                    "tooltip": "Download the notebook",
                    "label": "download-notebook-button",
                },
            )


def stay(app: Any, doctree: Any, page: str) -> None:
    """Turn an assignment's links to the published site into links within the site that is built."""
    for link in doctree.findall(nodes.reference):
        if not link.get("refuri", "").startswith(f"{site()}/"):
            continue
        target, _, anchor = link["refuri"].removeprefix(f"{site()}/").partition("#")
        if target.removesuffix(".html") in app.env.found_docs:
            place = app.builder.get_relative_uri(page, target.removesuffix(".html"))
            link["refuri"] = f"{place}#{anchor}" if anchor else place


def publish(app: Any, error: Exception | None) -> None:
    """Put the notebooks where the download buttons look for them."""
    if error is None and app.builder.format == "html":
        place = Path(app.outdir) / "_sources" / FOLDER.relative_to(ROOT)
        shutil.copytree(FOLDER, place, dirs_exist_ok=True)


def setup(app: Any) -> None:
    """Register with Sphinx."""
    app.connect("html-page-context", buttons, priority=600)  # after the theme has made its own
    app.connect("doctree-resolved", stay)
    app.connect("build-finished", publish)


def main() -> None:
    """Write the notebooks; with ``--check``, say which are not what their pages would make of them."""
    made = {path(chapter): text for chapter, text in make().items()}
    extra = {*FOLDER.rglob("*.ipynb")} - {*made} - {*FOLDER.glob("assignments/*.ipynb")}
    if "--check" in sys.argv:
        wrong = [
            place for place, text in made.items() if not place.exists() or place.read_text("utf-8") != text
        ]
        for place in sorted([*wrong, *extra]):
            print(f"{place.relative_to(ROOT)} is not in step with its page: make notebooks")
        sys.exit(1 if wrong or extra else 0)
    for place in extra:
        place.unlink()
    for place, text in made.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
    print(f"{len(made)} notebooks in {FOLDER.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
