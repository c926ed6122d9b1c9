"""What Home finds, and what it must not do to find it."""

from pathlib import Path

from bitnet_tui.core import scan
from bitnet_tui.core.resources import resource_dir
from bitnet_tui.core.scan import FoundModel, Scanned, find_models, search_folders


def found(folders):
    items = list(find_models(folders))
    assert isinstance(items[-1], Scanned)
    assert items[-1].done
    return [item for item in items if isinstance(item, FoundModel)], items[-1]


def test_files_and_folders_that_are_models(tmp_path):
    """A folder of shards, or a GGUF in parts, listed file by file; a lone safetensors without config as a model."""
    parts = [(f"b-0000{number}-of-00003.gguf", number) for number in (1, 2)]
    folder = [("hf/config.json", 1), ("hf/m-1.safetensors", 2), ("hf/m-2.safetensors", 3)]
    for name, size in (*parts, ("a.gguf", 5), *folder):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * size)
    (tmp_path / "lora").mkdir()
    (tmp_path / "lora/adapter.safetensors").touch()
    models, end = found([tmp_path])
    ggufs = [("a.gguf", "gguf", 5), ("b-00001-of-00003.gguf", "gguf", 3)]
    assert [(m.path.name, m.kind, m.nbytes) for m in models] == [*ggufs, ("hf", "safetensors", 5)]
    assert (end.folders, end.complete) == (4, True), "the two here, lora, and the working folder"


def test_hidden_deep_and_dangling(tmp_path):
    """Walking .venv and every depth of a home folder took minutes; a dangling link raised."""
    for name in (".hidden/a.gguf", "node_modules/a.gguf", "1/2/3/4/deep.gguf", "1/2/3/4/5/deeper.gguf"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "gone.gguf").symlink_to(tmp_path / "nowhere")
    models, _ = found([tmp_path])
    assert [m.path.name for m in models] == ["gone.gguf", "deep.gguf"]


def test_a_folder_in_another_is_searched_once(tmp_path):
    """Started in samples/nano, which lies in the samples, Home listed every model twice."""
    (tmp_path / "in").mkdir()
    for name in ("in/a.gguf", "b.gguf"):
        (tmp_path / name).touch()
    models, _ = found([tmp_path / "in", tmp_path])
    assert [m.path.name for m in models] == ["a.gguf", "b.gguf"]


def test_a_limit_is_said(tmp_path, monkeypatch):
    """A scan that stopped early looked complete."""
    monkeypatch.setattr(scan, "MAX_FOLDERS", 3)
    for index in range(5):
        (tmp_path / str(index)).mkdir()
    assert found([tmp_path])[1] == Scanned(3, done=True, complete=False)


def test_search_folders_name_each_place_once(tmp_path):
    """A folder of models_dirs inside the current one listed its models twice."""
    inside, outside = Path.cwd() / "models", tmp_path / "outside"
    assert search_folders([inside, outside]) == [Path.cwd(), outside]


def test_resources_are_found_in_a_checkout_and_in_a_wheel(monkeypatch, tmp_path):
    """An installed program looked for its themes beside site-packages."""
    assert (resource_dir("themes") / "bitnet-dark.toml").is_file()
    monkeypatch.setattr("bitnet_tui.core.resources._PACKAGE", tmp_path / "site" / "bitnet_tui")
    assert resource_dir("themes") == tmp_path / "site" / "bitnet_tui" / "_data" / "themes"
