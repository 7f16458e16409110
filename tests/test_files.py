"""Removing folders: only below the root that the caller names, whatever the path says."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from conftest import ROOT

from bench.cli import main
from bench.errors import RdbenchError, UsageError
from bench.files import bare_name, remove_folder
from bench.report import publish as publishing


@pytest.fixture
def tree(tmp_path):
    """A root with one folder in it, and a folder beside the root."""
    for folder in ("root/inside", "beside"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "file").write_text("kept")
    return tmp_path


def test_a_folder_below_the_root_is_removed_and_a_missing_one_is_no_error(tree):
    remove_folder(tree / "root" / "inside", tree / "root")
    assert not (tree / "root" / "inside").exists() and (tree / "root").is_dir()
    remove_folder(tree / "root" / "inside", tree / "root")


@pytest.mark.parametrize(
    "path", ["root", "beside", "root/../beside", "root/..", "root/inside/..", ".", "root/link/inner"]
)
def test_a_folder_that_is_not_below_the_root_is_refused_and_stays(tree, path):
    (tree / "beside" / "inner").mkdir()
    (tree / "root" / "link").symlink_to(tree / "beside")
    before = sorted(tree.rglob("*"))
    with pytest.raises(RdbenchError, match="nothing was removed"):
        remove_folder(tree / path, tree / "root")
    assert sorted(tree.rglob("*")) == before


def test_a_link_is_removed_and_what_it_points_to_stays(tree):
    (tree / "root" / "link").symlink_to(tree / "beside")
    remove_folder(tree / "root" / "link", tree / "root")
    assert not (tree / "root" / "link").is_symlink()
    assert (tree / "beside" / "file").read_text() == "kept"


def test_no_other_code_removes_folders():
    callers = []
    for path in [
        *(ROOT / "bench").rglob("*.py"),
        *(ROOT / "codecs_wrappers").rglob("*.py"),
        *ROOT.glob("profiles/*/*.py"),
    ]:
        for node in ast.walk(ast.parse(path.read_bytes())):
            name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
            if name in ("rmtree", "removedirs"):
                callers.append(path.relative_to(ROOT).as_posix())
    assert callers == ["bench/files.py"]


@pytest.mark.parametrize("name", ["../results/kodak", "/tmp", "a/b", "a\\b", ".", "..", ".part", "", "a\nb"])
def test_only_a_bare_name_names_a_run(name):
    with pytest.raises(UsageError, match="bare name"):
        bare_name(name, "a run")


def test_publish_refuses_a_path_and_the_run_stays(tmp_path, monkeypatch, capsys):
    run = tmp_path / "results" / "kodak"
    run.mkdir(parents=True)
    (run / "records.parquet").write_bytes(b"kept")
    (tmp_path / "reports" / "assets").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for name in ("../results/kodak", str(run), "kodak/../kodak"):
        assert main(["publish", name]) == 2
        assert "bare name" in capsys.readouterr().err
        assert (run / "records.parquet").read_bytes() == b"kept"
    run.rename(tmp_path / "results" / "assets")  # the folder that all published reports share
    assert main(["publish", "assets"]) == 2
    assert "is not a published report" in capsys.readouterr().err
    assert (tmp_path / "reports" / "assets").is_dir()


def test_a_report_published_before_stays_where_the_new_one_cannot_be_built(tmp_path, monkeypatch):
    for path in ("results/kodak/records.parquet", "reports/kodak/report.json"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text("{}")

    def fail(*_, **__):
        raise UsageError("no")

    monkeypatch.setattr(publishing, "build", fail)
    with pytest.raises(UsageError):
        publishing.publish("kodak", tmp_path / "results", tmp_path / "reports")
    assert (tmp_path / "reports" / "kodak" / "report.json").is_file()


def test_a_configuration_cannot_name_a_folder_outside_results():
    from bench.workflow import plan

    config = {"datasets": ["sample"], "name": "..", "codecs": ["jpeg"], "leave_out": {}}
    with pytest.raises(UsageError, match="bare name"):
        plan(config, refresh=False)
    assert not Path("results", "..", "status").exists()
