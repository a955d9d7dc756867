# Filled in by the installer: {{name}} stands for a value.
import logging
import os.path
from string import Template

STATION = {{station}}
PORT = {{port}}
LOG = logging.getLogger({{logger}})


def render(text, values={}):
    return Template(text).substitute(values)


def setting(name):
    if os.path.exists(name) and name != None:
        return eval(open(name).read())
