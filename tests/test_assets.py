"""Assets are found in the package first, then in the repository."""

import pytest

from worldmodel import assets


def test_repository_asset_is_found():
    assert assets.asset("envs/can.xml").is_file()
    assert assets.asset("envs").is_dir()


def test_installed_package_comes_first(tmp_path, monkeypatch):
    (tmp_path / "envs").mkdir()
    (tmp_path / "envs" / "can.xml").write_text("packaged")
    monkeypatch.setattr(assets, "PACKAGED", tmp_path)
    assert assets.asset("envs/can.xml").read_text() == "packaged"


def test_missing_asset_names_the_closest():
    with pytest.raises(FileNotFoundError, match=r"'envs/cann.xml'.*did you mean 'envs/can.xml'"):
        assets.asset("envs/cann.xml")


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret", "envs/../../x"])
def test_assets_stay_inside(path):
    with pytest.raises(ValueError, match="must be relative"):
        assets.asset(path)
