"""The proxies of a run: Berth's balancer, and HAProxy and nginx with what they have for the same purpose.

A rival is told of its servers by its configuration, and what it does is the best that we know to be sensible: no client
may be given up for the others, and no POST sent twice."""

import dataclasses
import resource

HAPROXY = """
global
    maxconn @CLIENTS@
defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    timeout check 1s
    option http-keep-alive
    http-reuse always
    retries 3
    option redispatch 1
    retry-on all-retryable-errors
    option httpchk GET /healthz
    default-server check inter 2s fastinter 500ms downinter 500ms fall 2 rise 1
    default-server observe layer4 error-limit 1 on-error mark-down
frontend clients
    bind 127.0.0.1:@PORT@ backlog 4096
    default_backend servers
backend servers
    balance roundrobin
    # Else it would send POSTs again that may have been done.
    http-request disable-l7-retry if METH_POST
@SERVERS@
"""

NGINX = """
worker_processes 2;
daemon off;
pid @DIR@/nginx.pid;
error_log @DIR@/nginx.errors error;
events {
    worker_connections @CONNECTIONS@;
}
http {
    access_log off;
    keepalive_requests 1000000;
    client_body_temp_path @DIR@/body;
    proxy_temp_path @DIR@/proxy;
    fastcgi_temp_path @DIR@/fastcgi;
    uwsgi_temp_path @DIR@/uwsgi;
    scgi_temp_path @DIR@/scgi;
    upstream servers {
        zone servers 256k;
@SERVERS@
        keepalive 64;
        keepalive_requests 1000000;
    }
    server {
        listen 127.0.0.1:@PORT@ backlog=4096;
        location / {
            proxy_pass http://servers;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_connect_timeout 2s;
            proxy_next_upstream error timeout;
        }
    }
}
"""


@dataclasses.dataclass(frozen=True)
class Rival:
    """A proxy that knows its servers from a file."""

    name: str
    title: str
    command: tuple
    template: str
    server: str
    # For the notes below the table.
    settings: str
    # What its clients get for a request that was lost with its server.
    lost_as: tuple = ("status-502",)


RIVALS = [
    Rival(
        "haproxy",
        "HAProxy",
        ("@BINARY@", "-db", "-f", "@FILE@"),
        HAPROXY,
        "    server s{number} 127.0.0.1:{port}",
        "`check inter 2s fastinter 500ms downinter 500ms fall 2 rise 1`, `observe layer4 error-limit 1 on-error "
        "mark-down`, `retries 3`, `option redispatch 1`, `retry-on all-retryable-errors` but for POSTs, `timeout "
        "connect 2s`, `timeout server 60s`",
        # It closes a kept connection without a word where a kept connection to the server was closed.
        ("status-502", "closed"),
    ),
    Rival(
        "nginx",
        "nginx",
        ("@BINARY@", "-p", "@DIR@", "-c", "@FILE@"),
        NGINX,
        "        server 127.0.0.1:{port} max_fails=1 fail_timeout=1s;",
        "`max_fails=1 fail_timeout=1s` in a shared `zone`, `proxy_next_upstream error timeout` (its default, which "
        "spares POSTs), `proxy_connect_timeout 2s`, `proxy_read_timeout 60s`; it has no active checks",
    ),
]


def start(lab, rival, binary, port, ports):
    """Starts a rival in front of these ports of the loopback interface."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    values = {
        # Two of its descriptors for each client.
        "@CLIENTS@": str(min(20000, (files - 500) // 2)),
        "@CONNECTIONS@": str(min(20000, files - 100)),
        "@PORT@": str(port),
        "@DIR@": lab.directory,
        "@BINARY@": binary,
        "@FILE@": lab.path(f"{rival.name}.conf"),
        "@SERVERS@": "\n".join(
            rival.server.format(number=number, port=server) for number, server in enumerate(ports)
        ),
    }

    def fill(text):
        for name, value in values.items():
            text = text.replace(name, value)
        return text

    with open(values["@FILE@"], "w") as file:
        file.write(fill(rival.template))
    return lab.start(rival.name, [fill(word) for word in rival.command])
