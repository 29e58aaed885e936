"""The page on which a person chooses an account, or turns back; and the redirect that follows."""

from collections.abc import Mapping
from urllib.parse import parse_qs, urlencode, urlsplit

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse

from libs.testkit.lemon_squeezy.html import STYLE, Markup, join, markup
from libs.testkit.oauth.grants import Asked, BadRequest, Grants, Refused, read_asked
from libs.testkit.oauth.people import PEOPLE, Person

MAX_FORM_BYTES = 65_536
DENIED = "The resource owner or authorization server denied the request"
MORE_STYLE = """
button.account { display: block; width: 100%; text-align: left; margin: .5rem 0; background: #fff;
  color: inherit; border: 1px solid #8f8a9e; } button.account small { display: block; }
input[type=checkbox] { width: auto; } button.plain { background: #eae6fb; color: #2d1b80; }
"""


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a posted form. Raises BadRequest for one of another site, or too large."""
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.url.netloc:
        raise BadRequest("This form comes from another site.")
    body = await request.body()
    if len(body) > MAX_FORM_BYTES:
        raise BadRequest("The form is too large.")
    fields = parse_qs(body.decode(errors="replace"), keep_blank_values=True)
    return {name: values[-1] for name, values in fields.items()}


def document(provider: str, body: Markup, status: int = 200) -> HTMLResponse:
    """A whole page; the notice stands above everything. It runs no script and sits in no frame."""
    page = markup(
        """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Sign in - {provider} (local)</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>{style}</style></head>
<body><p class="notice" role="note">This is a local double of {provider}, for development and
tests. It knows nobody's real account.</p>
<main><section class="card">{body}</section></main></body></html>""",
        provider=provider,
        style=Markup(STYLE + MORE_STYLE),
        body=body,
    )
    policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
    headers = {"Content-Security-Policy": policy, "Cache-Control": "no-store"}
    return HTMLResponse(page, status, headers=headers)


def chooser(provider: str, asked: Asked) -> HTMLResponse:
    """Every known account as a button, a form for any other, and the way back."""
    accounts = join(
        markup(
            '<button class="account" name="account" value="{email}">{name}'
            '<small class="quiet">{email}{more}</small></button>',
            name=person.name,
            email=person.email,
            more="" if person.verified else " (address not verified)",
        )
        for person in PEOPLE
    )
    body = markup(
        """<h1>Choose an account</h1>
<p class="quiet">to continue to {client}, which asks for: {scopes}</p>
<form method="post">{accounts}</form>
<form method="post"><h2>Another account</h2>
<label for="email">E-mail</label>
<input id="email" name="email" type="email" required autocomplete="off">
<label for="name">Name</label><input id="name" name="name" required autocomplete="off">
<label><input type="checkbox" name="verified" checked> {provider} has verified this address</label>
<button class="big">Continue</button></form>
<form method="post"><p><button class="plain" name="deny" value="1">Cancel</button></p></form>""",
        client=asked.client_id,
        scopes=", ".join(asked.scopes),
        accounts=accounts,
        provider=provider,
    )
    return document(provider, body)


def chosen_person(form: Mapping[str, str]) -> Person | None:
    """Who was chosen; None if the person turned back."""
    if "deny" in form:
        return None
    for person in PEOPLE:
        if form.get("account") == person.email:
            return person
    email, name = form.get("email", "").strip(), form.get("name", "").strip()
    if "@" not in email or not name:
        raise BadRequest("An account has an e-mail address and a name.")
    return Person(email, name, verified="verified" in form)


def back(asked: Asked, **answer: str) -> RedirectResponse:
    """To the application, with the answer and its state."""
    query = {**answer, **({"state": asked.state} if asked.state else {})}
    return RedirectResponse(f"{asked.redirect_uri}?{urlencode(query)}", 302)


async def authorize(
    provider: str, request: Request, grants: Grants, methods: tuple[str, ...]
) -> HTMLResponse | RedirectResponse:
    """GET shows the chooser, POST is the choice: a redirect with a code, or with an error."""
    query = dict(request.query_params)
    try:
        asked = read_asked(query, grants.client, methods)
        if request.method == "GET":
            grants.calls.append({"endpoint": "authorize", **query})
            return chooser(provider, asked)
        person = chosen_person(await read_form(request))
    except BadRequest as error:
        body = markup("<h1>Error 400</h1><p>{detail}</p>", detail=str(error))
        return document(provider, body, 400)
    except Refused as error:
        answer = {"error": error.error, "error_description": error.description}
        state = {"state": query["state"]} if "state" in query else {}
        return RedirectResponse(f"{query['redirect_uri']}?{urlencode({**answer, **state})}", 302)
    if person is None:
        return back(asked, error="access_denied", error_description=DENIED)
    return back(asked, code=grants.give(asked, person), scope=" ".join(asked.scopes))
