"""The book's own Sphinx extension."""

import aetutor_book
import claims


def test_the_cache_notices_the_package_and_the_pins(tmp_path):
    (tmp_path / "aetutor").mkdir()
    module, pins = tmp_path / "aetutor" / "risk.py", tmp_path / "requirements.txt"
    module.write_text("x = 1\n", encoding="utf-8")
    pins.write_text("numpy==1\n", encoding="utf-8")
    seen = [aetutor_book.digest(tmp_path)]
    assert aetutor_book.digest(tmp_path) == seen[0]
    module.write_text("x = 2\n", encoding="utf-8")
    seen.append(aetutor_book.digest(tmp_path))
    pins.write_text("numpy==2\n", encoding="utf-8")
    seen.append(aetutor_book.digest(tmp_path))
    module.rename(tmp_path / "aetutor" / "limits.py")
    seen.append(aetutor_book.digest(tmp_path))
    assert len(set(seen)) == 4


def test_a_summary_keeps_the_worst_case():
    equal = [
        {"kind": "equality", "check": "sign: Monte Carlo", "deviation": 0.1, "tolerance": 1.0},
        {"kind": "equality", "check": "tanh: Monte Carlo", "deviation": 0.02, "tolerance": 0.04},
        {"kind": "equality", "check": "series", "deviation": 3e-12, "tolerance": 1e-9},
    ]
    bound = [
        {"kind": "inequality", "check": "d = 2: search", "deviation": -0.5, "tolerance": 0.0},
        {"kind": "inequality", "check": "d = 3: search", "deviation": -2e-5, "tolerance": 0.0},
        {"kind": "inequality", "check": "edge", "deviation": 1e-16, "tolerance": 1e-12},
    ]
    assert claims.summary(equal + bound) == [
        ("Monte Carlo (2 cases)", "0.02 (allowed 0.04)"),
        ("series", "3.0 · 10⁻¹² (allowed 1.0 · 10⁻⁹)"),
        ("search (2 cases)", "none; nearest 2.0 · 10⁻⁵"),
        ("edge", "1.0 · 10⁻¹⁶ (allowed 1.0 · 10⁻¹², for rounding)"),
    ]
