# Nightly job of 2009, still in Python 2.
import os
import sys
import urllib2
from ConfigParser import ConfigParser


def fetch(url):
    try:
        return urllib2.urlopen(url).read()
    except urllib2.URLError, e:
        print >>sys.stderr, "cannot reach", url, e
        return None


def main():
    config = ConfigParser()
    config.read(os.path.expanduser("~/.docks"))
    body = fetch(config.get("docks", "url"))
    if body == None:
        sys.exit(1)
    print "got %d bytes" % len(body)


main()
