"""Files of results keep the sections of other processors."""

from tests.benchmarks import side_by_side
from tests.benchmarks.side_by_side import write_results


def test_each_processor_has_a_section(tmp_path, monkeypatch):
    path = tmp_path / "RESULTS.md"
    for processor, line in (("A: avx2", "1"), ("B: avx512f", "2"), ("A: avx2", "3")):
        monkeypatch.setattr(side_by_side, "processor", lambda name=processor: name)
        write_results(path, "Layers", [line])
        if line == "1":
            path.write_text(path.read_text() + "\n## Tried\n\n- by hand\n")
    expected = "# Layers\n\n## B: avx512f\n\n2\n\n## A: avx2\n\n3\n\n## Tried\n\n- by hand\n"
    assert path.read_text() == expected
