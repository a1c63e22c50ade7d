"""What a browser would make of a page, for tests."""

import html.parser
import json

HOSTILE = "<script>alert('$x_{')</script>\"'&\x1b[31m\u202e"


class Page(html.parser.HTMLParser):
    """Collects what a page's tags are, what they refer to, and what it says.

    Attributes:
      words: what a reader sees, so nothing of scripts and styles.
      spans: the text of every token that is shown, with its title.
      blocks: the JSON that stands in the page.
    """

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.data, self.spans, self.blocks = [], [], [], [], []
        self._inside = self._in_block = False
        self.feed(text)
        self.words = "".join(self.data)

    def handle_starttag(self, tag, attrs):
        self._in_block = ("type", "application/json") in attrs
        if not self._in_block:
            self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag == "p":
            self._inside = ("class", "tokens") in attrs
        elif tag == "span" and self._inside:
            self.spans.append(["", dict(attrs)["title"]])

    def handle_endtag(self, tag):
        if tag == "p":
            self._inside = False
        elif tag == "script":
            self._in_block = False

    def handle_data(self, data):
        if self._in_block:
            self.blocks.append(json.loads(data))
        if self.cdata_elem:
            return
        self.data.append(data)
        if self._inside and self.spans:
            self.spans[-1][0] += data


def check_loads_nothing(text: str) -> Page:
    """Checks that a page has no script but its own, needs no network and has no dead link."""
    page = Page(text)
    assert page.tags.count("script") == 1 and "<script>alert" not in text
    assert "default-src 'none'" in text
    assert "http://" not in text and "https://" not in text
    assert "url(" not in text and "@import" not in text and "link" not in page.tags
    targets = [value for _, name, value in page.attributes if name in ("src", "href", "srcset")]
    inner = ("#", "data:image/png;base64,", "data:image/svg+xml;base64,")
    assert all(value.startswith(inner) for value in targets)
    anchors = {value for _, name, value in page.attributes if name == "id"}
    assert {value[1:] for value in targets if value.startswith("#")} <= anchors
    assert not any(name.startswith("on") for _, name, _ in page.attributes)
    # Control characters may not stand in HTML.
    assert not {c for c in text if ord(c) < 32} - {"\n"}
    return page
