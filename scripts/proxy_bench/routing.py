"""How each proxy is told of routes, all of them with the same changes of fields on the way: what its templates say in
place of their @NAMES@.

Every route is for the paths below a prefix of its own and leads to the same endpoints. A request gets two fields and
loses one, an answer gets one and loses one; there is nothing to be lost, so that all proxies forward the same bytes."""


def path(number):
    """A path that a route is for."""
    return f"/route{number}/item"


def prefixes(routes):
    """What the routes' paths begin with."""
    return [f"/route{number}/" for number in range(routes)]


def balancer(routes):
    """The file."""
    edits = "request_headers: *request, response_headers: *response"
    routes = [f"  - {{path: {prefix}*, backend: servers, {edits}}}" for prefix in prefixes(routes)]
    return {"ROUTES": "\n".join(routes)}


def haproxy(routes):
    """A map from prefixes to backends, which HAProxy looks up in a tree; one backend has all endpoints."""
    if not routes:
        return {"CHOICE": "default_backend servers", "EDITS": "", "MAP": ""}
    edits = [
        "http-request set-header X-Edge one",
        "http-request set-header X-Zone two",
        "http-request del-header X-Debug",
        "http-response set-header X-Served-By edge",
        "http-response del-header X-Powered-By",
    ]
    return {
        "CHOICE": "use_backend %[path,map_beg(routes.map,none)]",
        "EDITS": "\n".join(f"    {edit}" for edit in edits),
        "MAP": "\n".join(f"{prefix} servers" for prefix in prefixes(routes)),
    }


def nginx(routes):
    """A location each."""
    edits = [
        "proxy_set_header X-Edge one;",
        "proxy_set_header X-Zone two;",
        'proxy_set_header X-Debug "";',
        "add_header X-Served-By edge;",
        "proxy_hide_header X-Powered-By;",
    ]
    locations = [f"location {prefix} {{ proxy_pass http://servers; }}" for prefix in prefixes(routes) or ["/"]]
    return {
        "EDITS": "\n".join(f"        {edit}" for edit in edits) if routes else "",
        "LOCATIONS": "\n".join(f"        {location}" for location in locations),
    }
