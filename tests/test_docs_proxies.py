"""The documentation's configurations of proxies and supervisors, as far as their programs are installed here."""

import re
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme
from fastapi.testclient import TestClient

from tests.brokers.valkey import broker
from tests.servers import ROOT, free_port
from tests.test_docs import Load, load
from tests.waiting import wait_until

__all__ = ["load"]  # a fixture

PAGES = ("deploy", "more-than-one-worker")


def blocks(page: str, language: str, beginning: str = "") -> list[str]:
    """Return the blocks of a how-to guide in a language."""
    text = (ROOT / "docs" / "how-to" / f"{page}.md").read_text()
    found = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block for block in found if block.startswith(beginning)]


def accepted(program: str, *arguments: str) -> None:
    """Let a program check its configuration."""
    path = shutil.which(program, path="/usr/sbin:/usr/bin:/usr/local/bin:/sbin:/bin")
    if path is None:
        pytest.skip(f"{program} is not installed")
    checked = subprocess.run([path, *arguments], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Return a file with a key and its certificate."""
    made = trustme.CA().issue_cert("localhost")
    made.private_key_and_cert_chain_pem.write_to_path(tmp_path / "site.pem")
    return tmp_path / "site.pem"


@pytest.mark.parametrize("page", PAGES)
def test_nginx(page: str, tmp_path: Path, certificate: Path) -> None:
    """nginx accepts the configuration."""
    (block,) = blocks(page, "nginx")
    block = re.sub(r"listen \d+", f"listen {free_port()}", block)
    folders = "".join(
        f"{each}_temp_path {tmp_path}/{each};" for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    tls = f"ssl_certificate {certificate}; ssl_certificate_key {certificate};"
    file = tmp_path / "nginx.conf"
    file.write_text(
        f"pid {tmp_path}/pid; error_log {tmp_path}/log; events {{}} http {{ access_log off; {folders} {tls}\n{block} }}"
    )
    accepted("nginx", "-t", "-c", str(file))


@pytest.mark.parametrize("page", PAGES)
def test_haproxy(page: str, tmp_path: Path, certificate: Path) -> None:
    """HAProxy accepts the configuration."""
    (block,) = blocks(page, "text", "defaults\n")
    (tmp_path / "haproxy.cfg").write_text(block.replace("/etc/haproxy/site.pem", str(certificate)))
    accepted("haproxy", "-c", "-f", str(tmp_path / "haproxy.cfg"))


@pytest.mark.parametrize("page", PAGES)
def test_systemd(page: str, tmp_path: Path) -> None:
    """systemd accepts the unit; its program and its folder do not exist here."""
    (block,) = blocks(page, "ini")
    (tmp_path / "app.service").write_text(re.sub(r"/srv/app\S+uvicorn", "/usr/bin/env uvicorn", block))
    accepted("systemd-analyze", "verify", str(tmp_path / "app.service"))


@pytest.mark.parametrize("page", PAGES)
def test_yaml(page: str) -> None:
    """The files for containers are YAML."""
    yaml = pytest.importorskip("yaml")
    assert all(isinstance(yaml.safe_load(block), dict) for block in blocks(page, "yaml"))


def test_ready(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker is ready once it has reached the broker, and stays so while the broker is away."""
    with ExitStack() as stack:
        monkeypatch.setenv("WIRESPEED_BROKER", stack.enter_context(broker())["WIRESPEED_BROKER"])
        with TestClient(load("docs/how-to/more-than-one-worker.md").app) as client:
            wait_until(lambda: client.get("/readyz").status_code == 200)
            stack.close()
            wait_until(lambda: client.get("/readyz").json() == {"broker": "down"})
            assert client.get("/readyz").status_code == 200


def test_not_ready(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that has not reached the broker yet is alive, and not ready."""
    monkeypatch.setenv("WIRESPEED_BROKER", "redis://127.0.0.1:1")
    with TestClient(load("docs/how-to/more-than-one-worker.md").app) as client:
        assert client.get("/readyz").status_code == 503
        assert client.get("/healthz").status_code == 200
