"""The floor: nginx with one fixed reply, a body like ours. What HTTP costs here when nothing is computed."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from contracts.errors import InputError

# One process without a supervisor; connections are never closed for having asked often.
CONFIGURATION = """
daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
  access_log off; server_tokens off; keepalive_timeout 75; keepalive_requests 1000000000;
  client_body_buffer_size 64k; default_type application/json;
  client_body_temp_path {folder}/nginx-body; proxy_temp_path {folder}/nginx-proxy;
  fastcgi_temp_path {folder}/nginx-fastcgi; uwsgi_temp_path {folder}/nginx-uwsgi; scgi_temp_path {folder}/nginx-scgi;
  server {{
    listen 127.0.0.1:{port} backlog=1024;
{locations}
  }}
}}
"""
LOCATION = """    location = {path} {{
{headers}      return 200 '{body}';
    }}
"""
PLAIN = re.compile(r"[^'\\$\x00-\x1f\x7f-\xff]*")  # nginx would read variables and quotes in anything else
OURS = ("x-model-version", "x-bundle-digest", "x-request-id")


def nginx() -> str:
    """The path of nginx; raises InputError where it is missing."""
    if found := shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin"):
        return found
    raise InputError("nginx: is not on PATH; get it with `apt-get install nginx-light` or `brew install nginx`")


def configuration(folder: Path, port: int, replies: Mapping[str, tuple[Mapping[str, str], bytes]]) -> Path:
    """Write the file for replies (headers, body) by path; raises ValueError for a reply nginx cannot hold as text."""
    locations = []
    for path, (headers, body) in replies.items():
        text = body.decode("latin-1")
        if not PLAIN.fullmatch(text):
            raise ValueError("a fixed reply of nginx is plain text")
        added = "".join(f"      add_header {name} '{headers[name]}';\n" for name in OURS if name in headers)
        locations.append(LOCATION.format(path=path, headers=added, body=text))
    file = folder / "nginx.conf"
    text = CONFIGURATION.format(folder=folder, port=port, locations="".join(locations))
    file.write_text(text, encoding="utf-8")
    return file
