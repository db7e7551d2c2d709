"""Settings of Sphinx: where there is a file "stop" a build ends when its pages are written."""

import os
import sys

sys.path.insert(0, "ROOT")
extensions = ["companion.engine.sphinx.offline"]


def stop(app, *_):
    if os.path.exists(os.path.join(app.srcdir, "stop")):
        os._exit(9)
    return []


def setup(app):
    app.connect("html-collect-pages", stop)
