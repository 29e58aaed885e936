"""Settings of the web pages."""

from libs.web.settings import WebSettings


class StudioSettings(WebSettings):
    """The pages need no part of the platform: browsers ask the API themselves."""
