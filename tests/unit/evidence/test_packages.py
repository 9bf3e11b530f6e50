# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import packages, packages_find
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import Context
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import App, Backend, Unavailable
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.packages_installed import foreign_tags

MACHINE = platform.machine()


@pytest.fixture
def ctx() -> Context:
    return Context(params={}, deadline=time.monotonic() + 30)


@pytest.fixture
def backend(tmp_path: Path) -> Backend:
    """A backend with code in ``app`` and an empty site directory of Python 3.11 in ``v``."""
    site = tmp_path / "v/lib/python3.11/site-packages"
    site.mkdir(parents=True)
    (tmp_path / "app").mkdir()
    result = Backend(
        "demo", "systemd", cwd=str(tmp_path / "app"), uid=os.geteuid(), python=str(tmp_path / "v/bin/python")
    )
    result.app = App(code_dir=str(tmp_path / "app"), path_prepend=[str(tmp_path / "app")], server="uvicorn")
    result.interpreter = {
        "version": "3.11.2",
        "kind": "venv",
        "site_packages": [{"path": str(site), "exists": True, "python_version": "3.11", "used": True}],
        "abi": {
            "cache_tag": "cpython-311",
            "extension_suffixes": [f".cpython-311-{MACHINE}-linux-gnu.so", ".abi3.so", ".so"],
        },
        "stdlib": [],
    }
    return result


def site_of(backend: Backend) -> Path:
    return Path(backend.interpreter["site_packages"][0]["path"])


def install(backend: Backend, name: str, version: str, **more: Any) -> Path:
    """Plant a distribution: ``requires`` lines, ``tag``, ``files`` of the RECORD that exist, ``record`` False for none."""
    site = site_of(backend)
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    lines = [f"Name: {name}", f"Version: {version}", *[f"Requires-Dist: {item}" for item in more.get("requires", [])]]
    (info / "METADATA").write_text("Metadata-Version: 2.1\n" + "\n".join(lines) + "\n\nRequires-Dist: not-this\n")
    (info / "WHEEL").write_text(f"Wheel-Version: 1.0\nTag: {more.get('tag', 'py3-none-any')}\n")
    (info / "INSTALLER").write_text("pip\n")
    files = more.get("files", [f"{name.replace('-', '_').lower()}/__init__.py"])
    for item in files:
        (site / item).parent.mkdir(parents=True, exist_ok=True)
        (site / item).write_text("x = 1\n")
    if more.get("record", True):
        (info / "RECORD").write_text("".join(f"{item},sha256=x,1\n" for item in files))
    return info


def declare(backend: Backend, name: str, text: str) -> str:
    path = Path(str(backend.app.code_dir)) / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return str(path)


def test_missing_and_mismatched(backend: Backend, ctx: Context) -> None:
    install(backend, "FastAPI", "0.100.0")
    path = declare(
        backend,
        "requirements.txt",
        "# web\nfastapi>=0.110\nuvicorn[standard]==0.30 \\\n    --hash=sha256:abc\nwin ; sys_platform == 'win32'\n-r more.txt\n-e .\n",
    )
    more = declare(backend, "more.txt", "redis\n")
    declare(backend, "requirements-dev.txt", "pytest\n")
    section = packages.collect(backend, ctx)
    assert section["missing"] == [
        {"name": "uvicorn", "specifier": "==0.30", "file": path, "line": 3},
        {"name": "redis", "specifier": "", "file": more, "line": 1},
    ]
    assert section["mismatched"] == [
        {"name": "FastAPI", "installed": "0.100.0", "specifier": ">=0.110", "file": path, "line": 2}
    ]
    assert section["installed"][0]["python_tag"] == "py3-none"
    assert section["manager"] == "pip"
    assert "pytest" in {item["name"] for item in section["declared"]}


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("pyproject.toml", '[project]\ndependencies = [\n  "Flask>=2",\n]\n', ("Flask", ">=2", 3)),
        ("pyproject.toml", '[tool.poetry.dependencies]\npython = "^3.11"\nflask = "^2.0"\n', ("flask", "^2.0", 3)),
        ("Pipfile", '[packages]\nflask = "*"\n', ("flask", "", 2)),
        ("setup.cfg", "[options]\ninstall_requires =\n    flask>=2\n", ("flask", ">=2", 3)),
    ],
)
def test_files_that_declare(backend: Backend, ctx: Context, name: str, text: str, expected: tuple[Any, ...]) -> None:
    path = declare(backend, name, text)
    assert packages.collect(backend, ctx)["missing"] == [
        {"name": expected[0], "specifier": expected[1], "file": path, "line": expected[2]}
    ]


@pytest.mark.parametrize(
    ("name", "text", "manager"),
    [
        ("uv.lock", 'version = 1\n[[package]]\nname = "flask"\nversion = "2.1"\nsource = { x = 1 }\n', "uv"),
        ("poetry.lock", '[[package]]\nname = "Flask"\nversion = "2.1"\n[package.dependencies]\nname = "x"\n', "poetry"),
        ("Pipfile.lock", '{"default": {"flask": {"version": "==2.1"}}}', "pipenv"),
    ],
)
def test_locks(backend: Backend, ctx: Context, name: str, text: str, manager: str) -> None:
    install(backend, "flask", "2.0")
    path = declare(backend, name, text)
    section = packages.collect(backend, ctx)
    assert (section["manager"], section["lock_file"]) == (manager, path)
    assert [(item["installed"], item["specifier"]) for item in section["mismatched"]] == [("2.0", "==2.1")]
    assert section["missing"] == []


def test_conflicts_between_installed(backend: Backend, ctx: Context) -> None:
    install(
        backend,
        "fastapi",
        "0.110",
        requires=["pydantic (>=2,<3)", "orjson ; extra == 'all'", "typing-extensions", "tomli; python_version<'3.11'"],
    )
    install(backend, "pydantic", "1.10.2")
    assert packages.collect(backend, ctx)["conflicts"] == [
        {"name": "fastapi", "version": "0.110", "requires": "pydantic>=2,<3", "found": "1.10.2"},
        {"name": "fastapi", "version": "0.110", "requires": "typing-extensions", "found": None},
    ]


def test_broken_installations(backend: Backend, ctx: Context) -> None:
    site = site_of(backend)
    install(backend, "good", "1")
    install(backend, "half", "1")
    install(backend, "half", "2")
    (site / "~umpy").mkdir()
    install(backend, "norecord", "1", record=False)
    (install(backend, "nometa", "1") / "METADATA").write_text("")
    install(backend, "foreign", "1", tag=f"cp39-cp39-manylinux_2_17_{MACHINE}")
    install(backend, "gone", "1")
    (site / "gone/__init__.py").unlink()
    install(
        backend, "ext", "1", tag=f"cp311-cp311-linux_{MACHINE}", files=[f"ext/_c.cpython-39-{MACHINE}-linux-gnu.so"]
    )
    install(backend, "stable", "1", tag=f"cp37-abi3-manylinux2014_{MACHINE}", files=["stable/_c.abi3.so"])
    problems = {item["name"]: item["problem"] for item in packages.collect(backend, ctx)["broken"]}
    assert set(problems) == {"half", "umpy", "norecord", "nometa", "foreign", "gone", "ext"}
    assert "1 and 2" in problems["half"]
    assert "another Python (cp39-cp39" in problems["foreign"]
    assert "gone/__init__.py is missing" in problems["gone"]
    assert "compiled for another Python" in problems["ext"]


@pytest.mark.parametrize(
    ("tags", "fits"),
    [
        (["py2.py3-none-any"], True),
        (["cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64"], True),
        (["cp311-cp311-manylinux_2_17_aarch64"], False),
        (["cp310-cp310-manylinux_2_17_x86_64"], False),
        (["cp37-abi3-manylinux_2_17_x86_64"], True),
        (["cp312-abi3-manylinux_2_17_x86_64"], False),
        (["py3-none-manylinux_2_17_x86_64"], True),
        (["odd"], True),
    ],
)
def test_wheel_tags(tags: list[str], fits: bool) -> None:
    assert (foreign_tags(tags, "3.11", "x86_64") is None) is fits


def test_nothing_known(backend: Backend, ctx: Context) -> None:
    backend.python, backend.interpreter = None, {}
    with pytest.raises(Unavailable):
        packages.collect(backend, ctx)
    declare(backend, "requirements.txt", "flask\n")
    assert "_partial" in packages.collect(backend, ctx)


def test_distribution_of_a_module(backend: Backend, ctx: Context) -> None:
    install(backend, "PyYAML", "6.0", files=["yaml/__init__.py", "_yaml/__init__.py"])
    declare(backend, "requirements.txt", "opencv-python-headless\nshiny-thing\n")
    look = packages.distribution_for_module
    assert look("yaml", backend, ctx) == {"distribution": "PyYAML", "source": "installed", "installed": "6.0"}
    assert look("cv2", backend, ctx) == {
        "distribution": "opencv-python-headless",
        "source": "declared",
        "installed": None,
    }
    assert look("jwt", backend, ctx) == {"distribution": "PyJWT", "source": "table", "installed": None}
    assert look("google.cloud.storage.blob", backend, ctx)["distribution"] == "google-cloud-storage"
    assert look("nosuch", backend, ctx) == {"distribution": "nosuch", "source": "name", "installed": None}
    assert look("shiny_thing", backend, ctx)["distribution"] == "shiny-thing"


def test_declared_in(backend: Backend, ctx: Context) -> None:
    path = declare(backend, "requirements.txt", "flask\n\npyyaml==6.0 # config\n")
    lock = declare(backend, "uv.lock", '[[package]]\nname = "pyyaml"\nversion = "6.0"\n')
    assert packages.declared_in("yaml", backend, ctx) == [
        {"file": path, "line": 3, "text": "pyyaml==6.0"},
        {"file": lock, "line": 2, "text": "pyyaml==6.0"},
    ]
    assert packages.declared_in("redis", backend, ctx) == []


Find = Callable[[str], list[tuple[str, str, str]]]


@pytest.fixture
def find(backend: Backend, ctx: Context, tmp_path: Path) -> Find:
    def run(name: str) -> list[tuple[str, str, str]]:
        found = packages_find.find_module_on_disk(name, backend, ctx)
        return [
            (os.path.relpath(item["path"], tmp_path), item["why"], os.path.relpath(item["root"], tmp_path))
            for item in found
        ]

    return run


def plant(tmp_path: Path, *names: str) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x = 1\n")


def test_module_elsewhere_in_the_project(find: Find, tmp_path: Path) -> None:
    plant(tmp_path, "app/src/shop/__init__.py", "app/src/shop/models.py", "app/node_modules/shop/__init__.py")
    assert find("shop.models") == [("app/src/shop/models.py", "elsewhere_on_disk", "app/src")]
    assert find("nothing") == []


def test_module_of_another_python(find: Find, tmp_path: Path, backend: Backend) -> None:
    other = tmp_path / "v/lib/python3.9/site-packages"
    backend.interpreter["site_packages"].append(
        {"path": str(other), "exists": True, "python_version": "3.9", "used": False}
    )
    plant(tmp_path, "v/lib/python3.9/site-packages/six.py")
    assert ("v/lib/python3.9/site-packages/six.py", "other_python", "v/lib/python3.9/site-packages") in find("six")


def test_things_in_the_way_on_the_path(find: Find, tmp_path: Path) -> None:
    (tmp_path / "app/gone").symlink_to("../releases/7/gone")
    plant(tmp_path, "app/textlink", "app/Models.py", "app/single.py")
    assert find("gone") == [("app/gone", "dangling_link", "app")]
    assert find("textlink.x") == [("app/textlink", "wrong_type", "app")]
    assert find("models") == [("app/Models.py", "wrong_type", "app")]
    assert find("single.sub") == [("app/single.py", "wrong_type", "app")]


def test_extension_of_another_python(find: Find, tmp_path: Path) -> None:
    plant(tmp_path, f"app/fast.cpython-39-{MACHINE}-linux-gnu.so")
    assert find("fast")[0][1] == "compiled_for_other_python"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_module_that_the_user_may_not_read(find: Find, tmp_path: Path, backend: Backend) -> None:
    backend.uid, backend.gid = 65534, 65534
    plant(tmp_path, "app/secret/__init__.py")
    (tmp_path / "app/secret").chmod(0o700)
    for directory in [tmp_path, *tmp_path.parents]:
        if str(directory).startswith("/tmp/"):
            directory.chmod(0o755)
    assert find("secret") == [("app/secret", "not_readable", "app")]
