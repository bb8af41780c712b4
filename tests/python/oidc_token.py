"""Logs in at an OpenID Connect provider as a browser would, and prints the ID token: oidc_token.py ISSUER CLIENT USER"""

import json
import sys
import urllib.error
import urllib.parse
import urllib.request

CALLBACK = "http://127.0.0.1:1/callback"


class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def id_token(issuer, client, user):
    asked = {"client_id": client, "redirect_uri": CALLBACK, "response_type": "code", "scope": "openid profile", "state": "s"}
    form = urllib.parse.urlencode({"sub": user}).encode()
    place = f"{issuer}/oauth2/authorize?{urllib.parse.urlencode(asked)}"
    try:
        urllib.request.build_opener(Stay).open(urllib.request.Request(place, data=form))
        raise SystemExit("the provider did not send the browser back")
    except urllib.error.HTTPError as answer:
        back = urllib.parse.urlparse(answer.headers["Location"])
    code = urllib.parse.parse_qs(back.query)["code"][0]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "client_id": client, "client_secret": "x"}
    place = urllib.request.Request(f"{issuer}/oauth2/token", data=urllib.parse.urlencode(form).encode())
    return json.load(urllib.request.urlopen(place))["id_token"]


if __name__ == "__main__":
    print(id_token(*sys.argv[1:]))
