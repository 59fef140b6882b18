"""Charts that say their numbers when one points at a mark, in the standalone SVG and as a part of a page.

What a mark says is a `<title>` in the SVG: browsers show it by themselves, and a page's script can do it better.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator

from matplotlib.artist import Artist

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
ET.register_namespace("", _SVG)
ET.register_namespace("xlink", _XLINK)
_GROUP, _TITLE, _DEFS = f"{{{_SVG}}}g", f"{{{_SVG}}}title", f"{{{_SVG}}}defs"
_MARKS = (f"{{{_SVG}}}use", f"{{{_SVG}}}path")
_NOT_IN_A_PAGE = (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style")  # the style would be for all of the page
_HREF = f"{{{_XLINK}}}href"

_SAYS, _BETWEEN = "says:", "␟"  # in the id of a group of marks, the only thing of ours that Matplotlib writes there
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_REFERENCE = re.compile(r"url\(#([^)]*)\)")


def says(artist: Artist, *texts: str) -> None:
    """Let a mark say a text, or each mark of a collection its own, in their order."""
    artist.set_gid(_SAYS + _BETWEEN.join(text.replace(_BETWEEN, " ") for text in texts))


def titled(svg: str) -> str:
    """Matplotlib's SVG, with titles for what was told to `says`, and without characters that XML forbids."""
    root = ET.fromstring(_NOT_XML.sub("\ufffd", svg))
    for group in root.iter(_GROUP):
        if not group.get("id", "").startswith(_SAYS):
            continue
        texts = group.attrib.pop("id").removeprefix(_SAYS).split(_BETWEEN)
        marks = [group] if len(texts) == 1 else list(_marks(group))
        if len(marks) != len(texts):
            continue  # what is not a finite number is not drawn, and nobody knows which one that was
        for mark, text in zip(marks, texts, strict=True):
            title = ET.Element(_TITLE)
            title.text = text
            mark.insert(0, title)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _marks(group: ET.Element) -> Iterator[ET.Element]:
    for child in group:
        if child.tag in _MARKS:
            yield child
        elif child.tag != _DEFS:
            yield from _marks(child)


def inlined(svg: str, label: str, prefix: str) -> str:
    """An SVG as an element of an HTML page: an image called `label`, whose ids begin with `prefix` and are its own."""
    root = ET.fromstring(svg)
    for part in [root, *root.iter(_DEFS)]:
        for child in [child for child in part if child.tag in _NOT_IN_A_PAGE]:
            part.remove(child)
    used = set(_REFERENCE.findall(svg)) | {element.get(_HREF, "#")[1:] for element in root.iter()}
    for element in root.iter():
        for name, value in list(element.attrib.items()):
            if name == "id" and value not in used:
                del element.attrib[name]
            elif name == "id":
                element.set(name, prefix + value)
            elif name == _HREF:
                element.set(name, re.sub("^#", f"#{prefix}", value))
            elif "url(#" in value:
                element.set(name, _REFERENCE.sub(rf"url(#{prefix}\1)", value))
    root.attrib |= {"role": "img", "aria-label": label}
    return ET.tostring(root, encoding="unicode")
