"""Figures that answer in a page: their specification in the page, Vega served by the site itself.

What runs only in a kernel, ipywidgets, becomes a line that says how to run it.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

import notebooks
from docutils import nodes
from myst_nb.core import render
from sphinx.application import Sphinx

SCRIPT = "live-figures.js"
_FIGURE = re.compile(r"application/vnd\.vegalite\.v\d+\+json")
_WIDGET = "application/vnd.jupyter.widget-view+json"


class Live:
    """What myst-nb calls a MIME renderer; None leaves an output to the others."""

    @staticmethod
    def handle_mime(renderer: Any, data: Any, inline: bool) -> list[nodes.Node] | None:
        """Render a Vega-Lite chart or stand in for a widget."""
        if _FIGURE.fullmatch(data.mime_type):
            spec = data.content if isinstance(data.content, str) else json.dumps(data.content)
            safe = spec.replace("</", r"<\/")
            html = (
                f'<div class="live-figure"><script type="application/json">{safe}</script>'
                "<noscript>This figure answers to its sliders where JavaScript is on.</noscript></div>"
            )
            return [nodes.raw("", html, format="html")]
        if data.mime_type == _WIDGET:
            page = renderer.renderer.document.settings.env.docname
            html = (
                '<p class="live-panel">This panel trains while you watch, and needs a running kernel: '
                f'<a href="{escape(notebooks.colab(page))}">open this chapter on Colab</a>, or download its '
                "notebook above and run it on your machine.</p>"
            )
            return [nodes.raw("", html, format="html")]
        return None


def _with_live(load: Any) -> Any:
    """myst-nb's list of renderers, with ours; an entry point would have to be installed."""

    @lru_cache
    def renderers() -> list[Any]:
        return [Live, *load()]

    return renderers


def write_script(app: Sphinx) -> None:
    """Bundle Vega and the few lines that place figures into one file of the site."""
    if app.builder.format != "html":
        return
    import altair
    import vl_convert

    version = "v" + ".".join(altair.SCHEMA_VERSION.lstrip("v").split(".")[:2])
    snippet = (Path(__file__).parent / "live.js").read_text(encoding="utf-8")
    static = Path(app.outdir) / "_static"
    static.mkdir(parents=True, exist_ok=True)
    bundle = vl_convert.javascript_bundle(snippet, vl_version=version)
    # Its short names stay its own: the page has other scripts.
    (static / SCRIPT).write_text(f"(() => {{{bundle}}})();", encoding="utf-8")


def add_script(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Load the script in pages that have a figure for it."""
    if doctree and any('class="live-figure"' in raw.astext() for raw in doctree.findall(nodes.raw)):
        app.add_js_file(SCRIPT, loading_method="defer")


def setup(app: Sphinx) -> None:
    """Register with Sphinx."""
    render.load_mime_renders = _with_live(render.load_mime_renders)
    app.connect("builder-inited", write_script)
    app.connect("html-page-context", add_script)
