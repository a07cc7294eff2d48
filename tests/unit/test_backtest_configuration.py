"""Files that say what a run of a backtest is under."""

from pathlib import Path

import pytest

from streamrec.backtest import load_configuration, parse_time
from streamrec.backtest.releases import ALWAYS, Releases
from streamrec.config import load_settings
from streamrec.errors import ConfigError

MAY_8 = 1_715_126_400_000


def written(folder: Path, text: str) -> Path:
    path = folder / "popular.toml"
    path.write_text(text)
    return path


def test_a_file_sets_what_the_variables_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMREC_SCORING__K", "7")
    monkeypatch.setenv("STREAMREC_SCORING__MIN_SHARE", "0.1")
    monkeypatch.setenv("STREAMREC_ONLINE_MF__FACTORS", "8")
    path = written(
        tmp_path,
        """
        [scoring]
        k = 10
        weights = {gru4rec = 0.0, popularity = 1.0}
        [state]
        popularity_half_life_s = 60
        [online_mf]
        passes = 3
        """,
    )
    found = load_configuration(path)
    monkeypatch.undo()
    assert (found.name, found.releases) == ("popular", None)
    assert found.settings == load_settings(
        scoring={"k": 10, "min_share": 0.1, "weights": {"gru4rec": 0.0, "popularity": 1.0}},
        state={"popularity_half_life_s": 60},
        online_mf={"factors": "8", "passes": 3},
    )


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    assert load_configuration(written(tmp_path, "")).settings == load_settings()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[scoring]\nkk = 3", r"SCORING__KK: no such setting; did you mean STREAMREC_SCORING__K\?"),
        ("[recall]\nk = 3", r"STREAMREC_RECALL__K: no such setting"),
        ("scoring = 3", r"STREAMREC_SCORING: "),
        ("[scoring]\nk = 0", r"STREAMREC_SCORING__K: Input should be greater than 0"),
        ("[scoring.weights]\nnone_such = 1.0", r"STREAMREC_SCORING__WEIGHTS__NONE_SUCH"),
        ("[scoring", r"cannot be read as TOML: Expected ']'"),
        ("releases = 3", r"\[\[releases\]\] has a version"),
        ("[[releases]]\nversion = 3", r"\[\[releases\]\] has a version"),
        ("[[releases]]\nversion = 'a'\nfrom = 2024-05-08", r"\[\[releases\]\] has a version"),
        ("[[releases]]\nversion = 'a'\n[[releases]]\nversion = 'b'", r"the first one needs no time"),
        ("[[releases]]\nversion = 'a'\ntime = 'soon'", r"releases: time: 'soon' is no time"),
    ],
)
def test_what_is_wrong_is_named_with_the_file(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=rf"(?s)^{tmp_path}/popular.toml: .*{fault}"):
        load_configuration(written(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.toml: cannot be read as TOML: .*No such file"):
        load_configuration(tmp_path / "nothing.toml")


def test_releases_take_effect_at_their_times(tmp_path: Path) -> None:
    text = """
        [[releases]]
        version = "a"
        [[releases]]
        version = "b"
        time = 2024-05-08
        [[releases]]
        version = "c"
        time = "2024-05-08T02:00:00+01:00"
    """
    found = load_configuration(written(tmp_path, text)).releases
    assert found == Releases([(ALWAYS, "a"), (MAY_8, "b"), (MAY_8 + 3_600_000, "c")])


@pytest.mark.parametrize(
    ("value", "offset_ms"),
    [
        ("2024-05-08", 0),
        ("2024-05-08T00:00:00.001Z", 1),
        ("2024-05-08T00:00:01", 1000),
        ("2024-05-08T02:00:00+02:00", 0),
    ],
)
def test_times_are_utc_unless_they_say_otherwise(value: str, offset_ms: int) -> None:
    assert parse_time(value, "--from") == MAY_8 + offset_ms


@pytest.mark.parametrize("value", ["", "yesterday", "2024-13-01", "1715126400", 3, None])
def test_what_is_no_time_is_refused_by_name(value: object) -> None:
    with pytest.raises(ConfigError, match=r"--from: .* is no time; write 2024-05-08"):
        parse_time(value, "--from")
