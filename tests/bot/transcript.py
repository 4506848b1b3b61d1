"""Messages of the bot as one HTML page that looks like Discord, to be looked at by a person.

It draws from what the bot really sent (Components V2, markdown as Discord reads it), and needs nothing but itself.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from html import escape
from typing import Any

STYLE = """
:root { color-scheme: dark } * { box-sizing: border-box }
body { margin: 0; background: #313338; color: #dbdee1; font: 16px/1.375 "gg sans", "Noto Sans", "Helvetica Neue",
  Helvetica, Arial, "Noto Sans Symbols 2", sans-serif }
header { position: sticky; top: 0; padding: 12px 20px; background: #313338; border-bottom: 1px solid #1f2124;
  font-weight: 600 } header span { color: #80848e; font-weight: 400; padding-right: 6px; font-size: 20px }
main { max-width: 860px; padding: 8px 16px 48px }
h2 { margin: 28px 0 4px; font-size: 12px; color: #949ba4; text-transform: uppercase; letter-spacing: .04em;
  border-bottom: 1px solid #3f4147; padding-bottom: 4px }
article { display: grid; grid-template-columns: 40px 1fr; column-gap: 16px; padding: 6px 8px; margin-top: 8px }
article.private { background: #3a3c50; border-left: 2px solid #5865f2 }
.used { grid-column: 2; font-size: 14px; color: #b5bac1 } .used b { color: #c9cdfb; font-weight: 500 }
.face { width: 40px; height: 40px; border-radius: 50%; background: #7a5c3a; display: grid; place-items: center;
  font-weight: 700; color: #f4e9d8 }
.who { font-weight: 500; color: #f2f3f5 } .who i { font: 600 10px/15px sans-serif; background: #5865f2; color: #fff;
  border-radius: 3px; padding: 1px 5px; margin-left: 4px; vertical-align: 2px }
.who time { color: #949ba4; font-size: 12px; font-weight: 400; margin-left: 6px }
.box { background: #2b2d31; border: 1px solid #3f4147; border-left: 4px solid var(--accent, #3f4147);
  border-radius: 8px; padding: 14px 16px; max-width: 560px; margin-top: 4px; overflow-wrap: anywhere }
.text p { margin: 0 } .text small { display: block; color: #949ba4; font-size: 13px; line-height: 1.4 }
.gallery { display: grid; gap: 4px; margin: 8px 0; max-width: 528px } .gallery img { width: 100%; display: block;
  border-radius: 6px; image-rendering: auto } .gallery.n1 { max-width: 256px }
.gallery.many { grid-template-columns: 1fr 1fr }
.row { display: flex; gap: 8px; margin-top: 10px } button { border: 0; border-radius: 8px; padding: 7px 16px;
  font: 500 14px/18px inherit; color: #fff; background: #4e5058 }
button.s1 { background: #5865f2 } button.s4 { background: #d83c3e }
.only { grid-column: 2; color: #949ba4; font-size: 12px; margin-top: 4px } .only b { color: #00a8fc; font-weight: 400 }
.form { background: #313338; border: 1px solid #1f2124; border-radius: 8px; padding: 16px; max-width: 440px;
  box-shadow: 0 8px 24px #0008 } .form h3 { margin: 0 0 10px; font-size: 20px } .form label { display: block;
  font-weight: 600; font-size: 14px; margin-top: 12px } .form small { color: #949ba4; font-weight: 400; display: block }
.form div { background: #1e1f22; border-radius: 4px; padding: 9px; margin-top: 6px; font-weight: 400; min-height: 40px }
"""


@dataclass
class Page:
    """Collects messages and what was done for them."""

    parts: list[str] = field(default_factory=list)

    def chapter(self, title: str) -> None:
        self.parts.append(f"<h2>{escape(title)}</h2>")

    async def message(self, message: Any, used: str = "anna used <b>/imagine</b>") -> None:
        """A message as it stands now."""
        files = {each.filename: await each.read() for each in message.attachments}
        components = [each if isinstance(each, dict) else each.to_dict() for each in message.components]
        body = f'<div class="text">{markdown(message.content)}</div>' if message.content else ""
        body += "".join(component(each, files) for each in components)
        private = message.flags.ephemeral
        only = '<div class="only">Only you can see this · <b>Dismiss message</b></div>' if private else ""
        self.parts.append(
            f'<article class="{"private" if private else ""}"><div class="used">{used}</div>'
            '<div class="face">C</div><div><div class="who">Calotype <i>APP</i><time>Today at 14:02</time></div>'
            f"{body}</div>{only}</article>"
        )

    def form(self, modal: dict[str, Any]) -> None:
        """A form that was opened."""
        fields = "".join(
            f"<label>{escape(part['label'])}<small>{escape(part.get('description') or '')}</small>"
            f"<div>{escape(part['component'].get('value') or '')}</div></label>"
            for part in modal["components"]
        )
        self.parts.append(
            f'<article><div class="face">C</div><div class="form"><h3>{escape(modal["title"])}</h3>{fields}'
            '<div class="row" style="background:none;padding:0"><button class="s1">Submit</button>'
            "<button>Cancel</button></div></div></article>"
        )

    def html(self) -> str:
        return (
            '<!doctype html><html lang="en"><meta charset="utf-8"><title>Calotype on Discord</title>'
            f"<style>{STYLE}</style><header><span>#</span>pictures</header><main>{''.join(self.parts)}</main></html>"
        )


def component(part: dict[str, Any], files: dict[str, bytes]) -> str:
    inner = "".join(component(each, files) for each in part.get("components", []))
    match part["type"]:
        case 17:
            accent = part.get("accent_color")
            colour = f' style="--accent:#{accent:06x}"' if accent is not None else ""
            return f'<div class="box"{colour}>{inner}</div>'
        case 10:
            return f'<div class="text">{markdown(part["content"])}</div>'
        case 12:
            shown = "".join(picture(item, files) for item in part["items"])
            return f'<div class="gallery {"n1" if len(part["items"]) == 1 else "many"}">{shown}</div>'
        case 1:
            return f'<div class="row">{inner}</div>'
        case 2:
            return f'<button class="s{part["style"]}">{escape(part["label"])}</button>'
        case other:
            raise AssertionError(f"component {other} cannot be drawn yet")


def picture(item: dict[str, Any], files: dict[str, bytes]) -> str:
    url = item["media"]["url"]
    name = next(name for name in files if name in url)
    kind = "png" if name.endswith("png") else "jpeg"
    data = base64.b64encode(files[name]).decode()
    return f'<img alt="{escape(item.get("description") or "")}" src="data:image/{kind};base64,{data}">'


def markdown(source: str) -> str:
    """The little of Discord's markdown that the bot uses; a backslash before punctuation makes it plain."""
    kept: list[str] = []

    def keep(match: re.Match[str]) -> str:
        kept.append(match[1])
        return f"\x00{len(kept) - 1}\x00"

    lines = []
    for line in re.sub(r"\\([^0-9A-Za-z\s])", keep, source).split("\n"):
        plain = escape(line.removeprefix("-# "), quote=False)
        drawn = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", plain)
        lines.append(f"<small>{drawn}</small>" if line.startswith("-# ") else f"<p>{drawn}</p>")
    return re.sub(r"\x00(\d+)\x00", lambda match: escape(kept[int(match[1])]), "".join(lines))
