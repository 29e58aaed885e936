"""Pages without a template engine: every value is escaped on its way into the text."""

from collections.abc import Iterable
from datetime import datetime
from html import escape

from fastapi.responses import HTMLResponse

NOTICE = (
    "This is a local double of Lemon Squeezy, for development and tests. "
    "No money moves and no card is charged."
)
STYLE = """
:root { color-scheme: light; font: 16px/1.5 system-ui, sans-serif; color: #1c1b22; }
body { margin: 0; background: #f5f4f8; }
.notice { background: #4b2fbf; color: #fff; padding: .6rem 1rem; text-align: center; }
main { max-width: 34rem; margin: 2rem auto; padding: 0 1rem; }
main.wide { max-width: 84rem; }
.card { background: #fff; border: 1px solid #dcd9e6; border-radius: 12px; padding: 1.5rem;
  margin-bottom: 1.5rem; }
h1 { font-size: 1.5rem; margin: 0 0 .5rem; } h2 { font-size: 1.15rem; margin: 0 0 .75rem; }
.price { font-size: 2rem; font-weight: 650; margin: .25rem 0; } .quiet { color: #5b5866; }
label { display: block; font-weight: 600; margin: 1rem 0 .25rem; }
input, select { width: 100%; box-sizing: border-box; font: inherit; padding: .55rem .7rem;
  border: 1px solid #8f8a9e; border-radius: 8px; background: #fff; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; }
button { font: inherit; font-weight: 600; border: 0; border-radius: 8px; padding: .7rem 1rem;
  background: #4b2fbf; color: #fff; cursor: pointer; }
button.big { width: 100%; margin-top: 1.5rem; }
button.small { padding: .25rem .55rem; font-size: .85rem; background: #eae6fb; color: #2d1b80; }
:focus-visible { outline: 3px solid #f2a900; outline-offset: 2px; }
.problem { background: #fdeaea; border: 1px solid #c62828; border-radius: 8px; padding: .6rem .9rem;
  color: #8e1b1b; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; padding: .45rem .6rem; border-bottom: 1px solid #e6e3ee;
  vertical-align: top; }
.scroll { overflow-x: auto; } .actions { display: flex; flex-wrap: wrap; gap: .3rem; }
.actions form { margin: 0; } code { font-size: .85rem; word-break: break-all; }
"""


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def text(value: object) -> Markup:
    """A value as HTML: escaped unless it is markup."""
    return value if isinstance(value, Markup) else Markup(escape(str(value), quote=True))


def markup(template: str, **values: object) -> Markup:
    """The template with its `{names}` filled by escaped values."""
    return Markup(template.format(**{name: text(value) for name, value in values.items()}))


def join(parts: Iterable[object], between: str = "") -> Markup:
    return Markup(between.join(text(part) for part in parts))


def document(title: str, body: Markup, *, status: int = 200, wide: bool = False) -> HTMLResponse:
    """A whole page; the notice stands above everything. It runs no script and sits in no frame."""
    page = markup(
        """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>{style}</style></head>
<body><p class="notice" role="note">{notice}</p><main{kind}>{body}</main></body></html>""",
        title=title,
        style=Markup(STYLE),
        notice=NOTICE,
        kind=Markup(' class="wide"' if wide else ""),
        body=body,
    )
    policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
    return HTMLResponse(page, status, headers={"Content-Security-Policy": policy})


def field(name: str, label: str, value: str = "", kind: str = "text", more: str = "") -> Markup:
    """A labelled input that must be filled."""
    return markup(
        '<label for="{name}">{label}</label>'
        '<input id="{name}" name="{name}" type="{kind}" value="{value}" required {more}>',
        name=name,
        label=label,
        value=value,
        kind=kind,
        more=Markup(more),
    )


def card_fields() -> Markup:
    """Number, end and code of a card; the numbers of the test cards are suggested."""
    return markup(
        '{number}<p class="quiet" id="cards">4242 4242 4242 4242 pays. 4000 0000 0000 0341 pays '
        "once and is declined at the renewal. 4000 0000 0000 0002 is declined.</p>"
        '<div class="pair"><div>{end}</div><div>{code}</div></div>',
        number=field(
            "card_number",
            "Test card number",
            "4242 4242 4242 4242",
            more='inputmode="numeric" autocomplete="off" aria-describedby="cards"',
        ),
        end=field("card_end", "Expires", "12/34", more='autocomplete="off"'),
        code=field("card_code", "Security code", "123", more='autocomplete="off"'),
    )


def problem(detail: str | None) -> Markup:
    """A message about what went wrong, if something did."""
    if not detail:
        return Markup("")
    return markup('<p class="problem" role="alert">{detail}</p>', detail=detail)


def button_form(target: str, label: str, **values: object) -> Markup:
    """A form of one small button that posts `values`."""
    hidden = (
        markup('<input type="hidden" name="{name}" value="{value}">', name=name, value=value)
        for name, value in values.items()
    )
    return markup(
        '<form method="post" action="{target}">{hidden}'
        '<button class="small" type="submit">{label}</button></form>',
        target=target,
        hidden=join(hidden),
        label=label,
    )


def table(caption: str, headings: Iterable[str], rows: Iterable[Iterable[object]]) -> Markup:
    """A table; without rows it says so."""
    head = join(markup('<th scope="col">{name}</th>', name=name) for name in headings)
    lines = [
        markup("<tr>{cells}</tr>", cells=join(markup("<td>{it}</td>", it=it) for it in row))
        for row in rows
    ]
    if not lines:
        return markup('<h2>{caption}</h2><p class="quiet">None yet.</p>', caption=caption)
    return markup(
        '<h2>{caption}</h2><div class="scroll"><table aria-label="{caption}">'
        "<thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>",
        caption=caption,
        head=head,
        lines=join(lines),
    )


def when(moment: datetime | None) -> str:
    """A time to the minute, UTC."""
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M}"
