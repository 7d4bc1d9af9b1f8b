"""The documentation site, by Sphinx: `make docs`, then open build/docs/index.html.

Sphinx, MyST and the PyData theme: all three are kept by teams and were released this year, run on Python 3.11 to 3.14,
and are under BSD and MIT licences; the theme is that of NumPy's and pandas' own sites and loads nothing from elsewhere.
Material for MkDocs announced its end (security mends alone until November 2026) and MkDocs 1.x itself is not kept up;
Zensical, its successor, was still at 0.1 when this was chosen.
"""

import os

# The reference shows sources, not machine code: nothing is compiled to build it.
os.environ["CROSSWIRE_NO_JIT"] = "1"

project = "Crosswire"
author = "the authors of Crosswire"
copyright = author
extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_heading_anchors = 3
# A line indented by four spaces is a command or what it prints: nothing to colour.
highlight_language = "none"
suppress_warnings = ["myst.xref_missing"]  # links to source files: the site does not hold them, GitHub does

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
default_role = "code"

html_theme = "pydata_sphinx_theme"
html_title = "Crosswire"
html_show_sourcelink = False
templates_path = ["_templates"]
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_sidebars = {"**": ["all-pages"]}
html_theme_options = {
    "navigation_with_keys": True,
    "show_toc_level": 2,
    "navbar_center": [],
    "footer_start": ["copyright"],
    "footer_end": [],
}
