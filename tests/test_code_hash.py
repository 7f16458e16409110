"""What of the wrappers' sources enters a codec's code hash: what decides the bitstream, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import codecs_wrappers
from bench.run.codec_state import code_sha256

SOURCES = Path(codecs_wrappers.__file__).parent
LEARNED = ("mean_scale", "naive_scaling", "qsf", "nested_dropout", "plonq", "stanh", "resgdn")
AFFECT_NOTHING = (
    "learned/study.py",
    "learned/codelength.py",
    "learned/commands.py",
    "learned/plonq/study.py",
    "learned/plonq/variants.py",
    "learned/plonq/nesting.py",
    "learned/plonq/commands.py",
    "learned/stanh/study.py",
    "learned/stanh/codelength.py",
    "learned/resgdn/study.py",
    "learned/resgdn/commands.py",
    "learned/training/session.py",
    "learned/training/schemes/stanh.py",
)
DECIDE = {
    "mean_scale": ("mean_scale.py", "learned/codec.py", "learned/hyperprior/coding.py", "learned/entropy/tables.py"),
    "plonq": ("plonq.py", "learned/plonq/coding.py", "learned/plonq/ordering.py", "learned/hyperprior/model.py"),
    "stanh": ("stanh.py", "learned/stanh/coding.py", "learned/stanh/backbones.py", "learned/entropy/gaussian.py"),
    "resgdn": ("resgdn.py", "learned/resgdn/coding.py", "native/codemap.py", "native/bpg/hevc.py"),
}


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of the wrappers' sources, which the hash is taken over."""
    folder = tmp_path / "codecs_wrappers"
    shutil.copytree(SOURCES, folder, ignore=lambda _, names: [n for n in names if "." in n and not n.endswith(".py")])
    monkeypatch.setattr(codecs_wrappers, "__path__", [str(folder)])
    return folder


def edit(path: Path) -> None:
    path.write_text(path.read_text(encoding="utf-8") + "\n\nADDED = 3\n", encoding="utf-8")


def test_an_edited_study_command_or_training_leaves_every_hash_as_it_is(copied):
    before = {name: code_sha256(name) for name in LEARNED}
    for path in AFFECT_NOTHING:
        edit(copied / path)
    assert {name: code_sha256(name) for name in LEARNED} == before


@pytest.mark.parametrize(("name", "path"), [(name, path) for name, paths in DECIDE.items() for path in paths])
def test_an_edit_of_what_codes_changes_the_hash(copied, name, path):
    before = code_sha256(name)
    edit(copied / path)
    assert code_sha256(name) != before
