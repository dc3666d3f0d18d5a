"""A client of OpenStack's services for scripts of components: logs in at keystone, and asks with the token.

The component of a script that imports it says `imports: ["openstack:openstack_api.py"]`; the script finds it, in the
component's folder as on a node, after `sys.path.append(sys.path[0] + "/../openstack")`.
The standard library alone, as the real client takes a second of CPU to start.
"""
import http.client
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request

opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Failed(SystemExit):
    """What was asked, and what came back instead of an answer: one line, without secrets.

    Where nobody catches it, the script ends with exit code 1 and this line on standard error. `status` is HTTP's, and
    None where there was no answer.
    """

    def __init__(self, text, status=None):
        super().__init__(text)
        self.status = status


def call(method, url, body=None, headers=None, timeout=20, quoted=500):
    """Asks once. Gives the answer's JSON, {} where it has no body, and its headers; raises Failed where there is none.

    `timeout` in seconds; of a refusal's own words so many bytes are `quoted`.
    """
    data = None if body is None else json.dumps(body).encode()
    kind = {} if body is None else {"Content-Type": "application/json"}
    request = urllib.request.Request(url, data, {**kind, **(headers or {})}, method=method)
    asked = url if method == "GET" else "%s %s" % (method, url)
    try:
        try:
            with opener.open(request, timeout=timeout) as answer:
                text, more = answer.read(), answer.headers
        except urllib.error.HTTPError as error:
            words = " ".join(error.read(quoted).decode(errors="replace").split())
            raise Failed(("%s: %s %s" % (asked, error, words)).rstrip(), error.code) from None
    except (OSError, http.client.HTTPException) as error:
        raise Failed("%s: %s" % (asked, getattr(error, "reason", None) or error)) from None
    try:
        return (json.loads(text) if text else {}), more
    except ValueError as error:
        raise Failed("%s: no JSON: %s" % (asked, error)) from None


def log_in(url, name, password, domain, scope, timeout=20):
    """What keystone says of a new token (`project`, `catalog`, ...), and the headers that carry it."""
    person = {"name": name, "domain": {"name": domain}, "password": password}
    identity = {"methods": ["password"], "password": {"user": person}}
    asked = url + "/auth/tokens"
    try:
        # A refusal of what has a password in it is not quoted.
        body, headers = call("POST", asked, {"auth": {"identity": identity, "scope": scope}}, timeout=timeout, quoted=0)
    except Failed as failed:
        raise Failed("user %s: %s" % (name, failed), failed.status) from None
    if not headers.get("X-Subject-Token"):
        raise Failed("user %s: %s answers without a token" % (name, asked))
    return body["token"], {"X-Auth-Token": headers["X-Subject-Token"]}


class Session:
    """A login, and what is asked with its token.

    Environment: OS_AUTH_URL (ending in /v3), OS_USERNAME, OS_PASSWORD, OS_PROJECT_NAME (empty: the domain itself),
    OS_USER_DOMAIN_NAME (`Default` without it, or without `domain`). `headers` go with every request, such as a
    microversion; `timeout` in seconds is for each. `token` is what keystone says of it.
    """

    def __init__(self, headers=None, domain=None, timeout=20):
        env = os.environ
        domain = domain or env.get("OS_USER_DOMAIN_NAME") or "Default"
        project = env.get("OS_PROJECT_NAME")
        scope = {"project": {"name": project, "domain": {"name": domain}}} if project else {"domain": {"name": domain}}
        account = (env["OS_AUTH_URL"], env["OS_USERNAME"], env["OS_PASSWORD"], domain, scope)
        self.token, key = log_in(*account, timeout=timeout)
        self.headers, self.timeout = {**key, **(headers or {})}, timeout

    @property
    def project(self):
        """Id of the project."""
        return self.token["project"]["id"]

    def places(self):
        """URLs of the services by type, as they are told to other services."""
        every = [(service["type"], one) for service in self.token["catalog"] for one in service["endpoints"]]
        return {kind: one["url"].rstrip("/") for kind, one in every if one["interface"] == "internal"}

    def ask(self, method, url, body=None):
        """The answer's JSON."""
        return call(method, url, body, self.headers, self.timeout)[0]

    def get(self, url, **match):
        """The answer's JSON to a question for what matches."""
        return self.ask("GET", url + ("?" + urllib.parse.urlencode(match) if match else ""))


def not_up(services, wanted):
    """What is wrong with `wanted`, a list of (binary, host), among what a service lists as its `os-services`."""
    known, bad = {(one["binary"], one["host"]): one for one in services}, []
    for binary, host in wanted:
        one = known.get((binary, host))
        if one is None:
            bad.append("%s on %s has never reported" % (binary, host))
        elif (one["state"], one["status"]) != ("up", "enabled"):
            bad.append("%s on %s is %s and %s" % (binary, host, one["state"], one["status"]))
    return bad


def outlasting(seconds, look):
    """What `look` finds, looked for again until it finds nothing or so many seconds have passed."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if not found or time.monotonic() >= deadline:
            return found
        time.sleep(5)
