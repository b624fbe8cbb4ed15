"""Checks of pages that are written as one file."""

import re
from html.parser import HTMLParser
from xml.dom import minidom


class WellFormed(HTMLParser):
    """Fails where a tag is closed that is not open, and tells what is fetched from elsewhere."""

    VOID = ("meta", "img", "line", "path", "rect", "polyline", "br")

    def __init__(self):
        super().__init__()
        self.open, self.fetched = [], []

    def handle_starttag(self, tag, attributes):
        if tag not in self.VOID:
            self.open.append(tag)
        self.fetched += [value for name, value in attributes if name in ("src", "href")]

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


def read_page(path):
    """The text of a page, checked to be whole and to need nothing but itself."""
    text, parser = path.read_text(), WellFormed()
    parser.feed(text)
    assert parser.open == []
    assert all(address.startswith("data:image/jpeg;base64,") for address in parser.fetched)
    assert "://" not in re.sub(r'src="[^"]*"', "", text)
    for chart in re.findall(r"<svg.*?</svg>", text):
        minidom.parseString(chart)
    return text
