"""Settings of the documentation site, which `make docs` builds with Sphinx. CONTRIBUTING.md says why Sphinx."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from edgehar import __version__

project = "edgehar"
author = "the edgehar authors"
version = release = __version__
language = "en"
# Two hyphens begin an option; they are not a dash.
smartquotes = False

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "generated_reference",
]
root_doc = "index"
exclude_patterns = ["_ext", "_static"]

# Markdown. Headings get the anchors that GitHub gives them, so that one link works in both places.
myst_enable_extensions = ["attrs_inline"]
myst_heading_anchors = 4
myst_links_external_new_tab = False

# Docstrings are Google style, and use single backticks for code.
default_role = "code"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Attributes", "params_style")]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True}
toc_object_entries_show_parents = "hide"

# Furo brings its own style sheet and scripts and uses the fonts of the reader's system: no request leaves the site.
html_theme = "furo"
html_title = f"edgehar {release}"
html_static_path = ["_static"]
html_css_files = ["edgehar.css"]
html_favicon = "_static/favicon.svg"
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_show_copyright = False
html_last_updated_fmt = None
html_theme_options = {
    "sidebar_hide_name": False,
    "light_css_variables": {"color-brand-primary": "#0b6e4f", "color-brand-content": "#0b6e4f"},
    "dark_css_variables": {"color-brand-primary": "#5fd3a7", "color-brand-content": "#5fd3a7"},
}
pygments_style = "friendly"
pygments_dark_style = "github-dark"
highlight_language = "text"

# The copy button takes what a reader types, without the prompt.
copybutton_exclude = ".linenos, .gp, .go"
