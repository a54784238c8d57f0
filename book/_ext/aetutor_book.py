"""What the book needs of Sphinx beyond its extensions.

* Execution is cached in a folder named after the package's sources and the pins, so that a change
  of either runs the chapters again.
* Figures with sliders work in the page (:mod:`live`); each chapter has its notebook (:mod:`notebooks`).
* ``{claims-table}`` lists every claim with what the tests checked, ``{trials-table}`` what grading was
  tried on.
* sphinx-thebe, which Jupyter Book always loads, is silenced: it would name a script on another host
  in every page.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import claims
import live
import notebooks
import trials_table
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from sphinx_codeautolink.extension.block import CodeBlockAnalyser

logger = logging.getLogger(__name__)


def digest(root: Path) -> str:
    """Hash of all that a chapter's output depends on besides its own text."""
    state = hashlib.sha256()
    package = [path for path in (root / "aetutor").glob("*") if path.suffix in (".py", ".json")]
    for path in [*sorted(package), root / "requirements.txt"]:
        state.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return state.hexdigest()[:16]


def settle(app: Sphinx, config: Any) -> None:
    """Say where the site will be; point the execution cache at the folder of the present package and pins."""
    root = Path(app.srcdir)
    config.html_baseurl = notebooks.site() + "/"
    config.nb_execution_cache_path = str(root / "_build" / "execution" / digest(root))


class ClaimsTable(SphinxDirective):
    """One row for each check of each claim."""

    has_content = False

    def run(self) -> list[nodes.Node]:
        """Build the table from the record of the last run of the tests."""
        if not claims.RECORD.exists():
            logger.warning(
                "no record of the claims' checks: 'make book' makes it", location=self.get_location()
            )
            return []
        self.env.note_dependency(str(claims.RECORD))
        record = claims.record()
        lines = ["| Claim | What was checked | Largest deviation |", "| :-- | :-- | :-- |"]
        for claim in claims.claims():
            name = f"{{prf:ref}}`{claim.label}` {claim.title}"
            for what, deviation in claims.summary(record.get(claim.label or "", [])):
                lines.append(f"| {name} | {what} | {deviation} |")
                name = ""
        container = nodes.container(classes=["claims-table"])
        self.state.nested_parse(StringList(lines, "claims"), self.content_offset, container)
        return container.children


class TrialsTable(SphinxDirective):
    """What grading was tried on, and the points that it gave."""

    def run(self) -> list[nodes.Node]:
        """Build the tables from the record of the last run of the tests, if there is one."""
        container = nodes.container(classes=["trials-table"])
        lines = ["*No record is here: `make test` grades them all and writes one.*"]
        if trials_table.RECORD.exists():
            self.env.note_dependency(str(trials_table.RECORD))
            lines = trials_table.lines()
        self.state.nested_parse(StringList(lines, "trials"), self.content_offset, container)
        return container.children


def _enter_section(visitor: Any, node: nodes.section) -> None:
    """As in sphinx-codeautolink, which expects every section to have a name; exercises' have none."""
    visitor.current_refid = next(iter(node["ids"]), visitor.current_refid)


def _leave_section(visitor: Any, node: nodes.section) -> None:
    """As in sphinx-codeautolink, for sections that have a title."""
    if any(isinstance(child, nodes.title) for child in node.children):
        visitor.title_stack.pop()


def mend_lists(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Docutils calls a bibliography a list but not its entries list items, which confuses screen readers."""
    if "body" in context:
        context["body"] = context["body"].replace(
            '<div role="list" class="citation-list">', '<div class="citation-list">'
        )


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_directive("claims-table", ClaimsTable)
    app.add_directive("trials-table", TrialsTable)
    app.connect("config-inited", settle)
    app.connect("html-page-context", mend_lists)
    live.setup(app)
    notebooks.setup(app)
    CodeBlockAnalyser.visit_section = _enter_section
    CodeBlockAnalyser.depart_section = _leave_section
    app.registry.css_files[:] = [css for css in app.registry.css_files if css[0] != "sphinx-thebe.css"]
    for listeners in app.events.listeners.values():
        listeners[:] = [one for one in listeners if one.handler.__module__ != "sphinx_thebe"]
    return {"parallel_read_safe": True, "parallel_write_safe": True}
