#!/usr/bin/env python3
"""Logs in to the dashboard as a person with a browser would, and looks whether the page after it is that person's.

Usage: log-in.py URL PROJECT [CACHE:PORT,...]; URL ends in a slash, PROJECT must stand on the page.
Environment: OS_USERNAME, OS_PASSWORD, OS_USER_DOMAIN_NAME.
Gets the login page, takes the token against forged requests and all hidden fields of its form, sends the form, follows to
the overview. A wrong password must be refused first. With CACHE the session must be kept there, and nowhere else.
"""
import html.parser
import http.cookiejar
import os
import socket
import sys
import urllib.error
import urllib.parse
import urllib.request

base, project = sys.argv[1:3]
caches = [one for one in "".join(sys.argv[3:]).split(",") if one]
env = os.environ


class Page(html.parser.HTMLParser):
    """The form that has a password, with the fields it would send, and the page's words."""

    def __init__(self, text):
        super().__init__()
        self.action, self.fields, self.open, self.words, self.title, self.tag = None, {}, None, [], "", ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = {key: value or "" for key, value in attrs}
        self.tag = tag
        if tag == "form":
            self.open = (given.get("action", ""), {})
        elif tag == "input" and self.open and given.get("name"):
            self.open[1][given["name"]] = given.get("value", "")
            if given.get("type") == "password":
                self.action, self.fields = self.open
        elif tag == "select" and self.open and given.get("name"):
            self.select = given["name"]
        elif tag == "option" and self.open and getattr(self, "select", None):
            if self.select not in self.open[1] or "selected" in given:
                self.open[1][self.select] = given.get("value", "")

    def handle_data(self, data):
        if self.tag == "title":
            self.title += data
        elif self.tag not in ("script", "style"):
            self.words.append(data)

    def handle_endtag(self, tag):
        self.tag = ""


class Browser:
    def __init__(self):
        self.cookies = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(self.cookies)
        )

    def get(self, url, fields=None, referer=None):
        """The page and its address after all redirections."""
        data = None if fields is None else urllib.parse.urlencode(fields).encode()
        headers = {"Referer": referer} if referer else {}
        with self.opener.open(urllib.request.Request(url, data, headers), timeout=50) as answer:
            return answer.read().decode(errors="replace"), answer.url

    def log_in(self, password):
        text, url = self.get(base + "auth/login/")
        page = Page(text)
        if page.action is None or not page.fields.get("csrfmiddlewaretoken"):
            sys.exit("%s has no form to log in" % url)
        fields = {**page.fields, "username": env["OS_USERNAME"], "password": password}
        if "domain" in fields:
            fields["domain"] = env["OS_USER_DOMAIN_NAME"]
        return self.get(urllib.parse.urljoin(url, page.action or url), fields, url)

    def session(self):
        return next((one.value for one in self.cookies if one.name == "sessionid"), None)


def cached(server, key):
    """Whether a memcached has a key, or a line that ends in it: Django puts a prefix and a version before it."""
    host, _, port = server.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as link:
        link.sendall(b"get :1:django.contrib.sessions.cache%s\r\n" % key.encode())
        return link.recv(4096).startswith(b"VALUE ")


what = base
try:
    if not caches:
        stranger = Browser()
        text, url = stranger.log_in(env["OS_PASSWORD"] + "x")
        if Page(text).action is None:
            sys.exit("the dashboard lets %s in with a wrong password, to %s" % (env["OS_USERNAME"], url))
    browser = Browser()
    text, url = browser.log_in(env["OS_PASSWORD"])
    page = Page(text)
    if page.action is not None:
        told = " ".join(" ".join(page.words).split())
        sys.exit("the dashboard refuses %s: %s" % (env["OS_USERNAME"], told[-300:]))
    if caches:
        key = browser.session()
        if not key:
            sys.exit("the dashboard gives no session")
        if not any(cached(server, key) for server in caches):
            sys.exit("the session is in none of %s" % ", ".join(caches))
        sys.exit(0)
    what = base + "project/"
    text, url = browser.get(what)
    words = " ".join(" ".join(Page(text).words).split())
    for word in (env["OS_USERNAME"], project):
        if word not in words:
            sys.exit("%s shows no %s: %s" % (url, word, words[:300]))
    print("%s is logged in and sees %s: %s" % (env["OS_USERNAME"], project, " ".join(Page(text).title.split())))
except urllib.error.HTTPError as error:
    sys.exit("%s: %s" % (error.url or what, error))
except OSError as error:
    sys.exit("%s: %s" % (what, getattr(error, "reason", None) or error))
