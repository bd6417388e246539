"""Tables somebody else wrote: what is read of them, and how faults in them are told."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mai_core.bench.replay.cells import TableError
from mai_core.bench.replay.fitting import bytes_of, fitting, host_of, with_memory
from mai_core.bench.replay.pool import Pool, choose
from mai_core.bench.replay.tables import RatedModel, find_tables, read_table
from mai_core.bench.simulator.machines import MACHINES

from .worlds import two_tasks, written

GIB = 2**30
THREE = {
    "t_prompts.csv": "prompt_id,task,text\np1,x,one\np2,y,two\n",
    "t_outcomes.csv": "prompt_id,model,correct,output_tokens\np1,a,1,10\np2,a,0,20\np1,b,1,30\np2,b,0.5,40\n",
    "models.csv": "model,params_b,active_b,kind\na,2,1,instruct\nb,10,4,instruct\n",
}


def files(folder: Path, **changed: str) -> Path:
    for name, text in THREE.items():
        (folder / name).write_text(changed.get(name.partition(".")[0], text), encoding="utf-8")
    return folder / "t_outcomes.csv"


def fault(path: Path) -> str:
    with pytest.raises(TableError) as caught:
        choose(read_table(path))
    return caught.value.message


def test_an_answer_costs_active_parameters_times_tokens(tmp_path: Path) -> None:
    pool = choose(read_table(files(tmp_path)))
    assert pool.name == "t"
    assert [model.name for model in pool.models] == ["a", "b"]
    assert pool.cost == ((10, 120), (20, 160))
    assert pool.correct == ((1, 1), (0, 0.5))
    assert [(p.task, p.text) for p in pool.prompts] == [("x", "one"), ("y", "two")]


def test_one_file_may_hold_everything(tmp_path: Path) -> None:
    pool = choose(read_table(written(tmp_path / "all.csv", two_tasks(4))))
    assert [model.name for model in pool.models] == ["large", "small"]
    assert pool.cost[0] == (10, 1)
    assert [p.task for p in pool.prompts] == ["sums", "songs"] * 2
    assert pool.prompts[0].text


def test_neither_texts_nor_tasks_have_to_be_known(tmp_path: Path) -> None:
    header, lines = "prompt_id,model,correct,cost", ["1,a,1,1", "1,b,0,2"]
    pool = choose(read_table(written(tmp_path / "bare.csv", lines, header)))
    assert [(p.task, p.text) for p in pool.prompts] == [("", "")]


def test_packed_files_and_folders_are_read_alike(tmp_path: Path) -> None:
    plain = choose(read_table(files(tmp_path)))
    packed = tmp_path / "packed"
    packed.mkdir()
    for name, text in THREE.items():
        (packed / f"{name}.gz").write_bytes(gzip.compress(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()))
    (found,) = find_tables(packed)
    assert choose(read_table(found)) == plain
    with pytest.raises(TableError, match="no file"):
        find_tables(Path(__file__).parent)


@settings(max_examples=20, deadline=None)
@given(st.randoms(use_true_random=False))
def test_no_order_of_rows_matters(tmp_path_factory: pytest.TempPathFactory, draw: object) -> None:
    folder, lines = tmp_path_factory.mktemp("rows"), two_tasks(6)
    expected = choose(read_table(written(folder / "t.csv", lines)))
    draw.shuffle(lines)  # type: ignore[attr-defined]
    assert choose(read_table(written(folder / "t.csv", lines))) == expected


OUTCOMES = THREE["t_outcomes.csv"]


@pytest.mark.parametrize(
    ("outcomes", "told"),
    [
        (OUTCOMES.replace("p2,a,0,20", "p2,a,yes,20"), "line 3, column correct: 'yes' is not a number"),
        (OUTCOMES.replace("p2,a,0,20", "p2,a,2,20"), "line 3, column correct: 2 is not a number between 0 and 1"),
        (OUTCOMES.replace("p2,a,0,20", "p2,a,nan,20"), "line 3, column correct: nan"),
        (OUTCOMES.replace("p2,a,0,20", "p2,a,0,-1"), "line 3, column output_tokens: -1 is not a number of 0 or more"),
        (OUTCOMES.replace("p2,a,0,20", "p2,a,0,"), "line 3, column output_tokens: is empty"),
        (OUTCOMES.replace("p2,a,0,20", "p9,a,0,20"), "line 3, column prompt_id: 'p9' is not among the prompts"),
        (OUTCOMES.replace("p2,a,0,20", "p1,a,0,20"), "line 3, column model: a answers 'p1' a second time"),
        (OUTCOMES.replace("p2,a,0,20", "p2,a,0"), "line 3: 3 cells for 4 columns"),
        (OUTCOMES.replace("correct", "right"), "no column correct; there are prompt_id, model, right"),
        (OUTCOMES.replace("output_tokens", "size"), "no column cost and none of output_tokens"),
        (OUTCOMES.replace("model", "correct"), "no column model"),
        (OUTCOMES.replace("output_tokens", "model"), "no column cost"),
        ("", "is empty"),
        ('prompt_id,model,correct,cost\n"p1,a,1,1\n', "cannot be read"),
    ],
)
def test_faults_name_file_line_and_column(tmp_path: Path, outcomes: str, told: str) -> None:
    message = fault(files(tmp_path, t_outcomes=outcomes))
    assert message.startswith("t_outcomes.csv")
    assert told in message


def test_lines_are_counted_as_an_editor_does(tmp_path: Path) -> None:
    prompts = 'prompt_id,task,text\np1,x,"one\nand\nmore"\n\np2,y,\n'
    assert "t_prompts.csv, line 6, column text: is empty" in fault(files(tmp_path, t_prompts=prompts))


def test_what_is_cut_off_or_no_text_is_told(tmp_path: Path) -> None:
    packed = tmp_path / "cut.csv.gz"
    packed.write_bytes(gzip.compress(b"prompt_id,model,correct,cost\n1,a,1,1\n1,b,1,1\n")[:-9])
    assert "cut.csv.gz: cannot be read" in fault(packed)
    packed.write_bytes(b"\x1f\x8b\xff\xff")
    assert "cut.csv.gz: cannot be read" in fault(packed)
    plain = tmp_path / "latin.csv"
    plain.write_bytes("prompt_id,model,correct,cost\n1,Ä,1,1\n".encode("latin-1"))
    assert "latin.csv: cannot be read" in fault(plain)
    assert "no such file" in fault(tmp_path / "absent.csv")


def test_a_prompt_cannot_have_two_texts(tmp_path: Path) -> None:
    lines = ["1,x,one,a,1,1", "1,x,two,b,1,1"]
    assert "line 3, column prompt_id: '1' had another text" in fault(written(tmp_path / "t.csv", lines))


def test_who_competes_and_who_is_left_out(tmp_path: Path) -> None:
    lines = [f"{i},x,text,{name},1,1" for i in range(10) for name in "abc" if name != "c" or i < 5]
    table = read_table(written(tmp_path / "t.csv", lines))
    pool = choose(table)
    assert [model.name for model in pool.models] == ["a", "b"]
    assert pool.left_out == (("c", "answered 50% of the prompts"),)
    assert len(choose(table, ["a", "c"]).prompts) == 5
    with pytest.raises(TableError, match="d: not one of a, b, c"):
        choose(table, ["a", "d"])
    with pytest.raises(TableError, match="two are needed"):
        choose(table, ["a"])


def test_without_sizes_or_prices_nothing_can_be_said(tmp_path: Path) -> None:
    outcomes = files(tmp_path)
    (tmp_path / "models.csv").unlink()
    assert "has to tell the models' parameters" in fault(outcomes)


@pytest.mark.parametrize(("written_size", "expected"), [("8GiB", 8 * GIB), ("8G", 8 * GIB), ("8GB", 8 * 10**9)])
def test_sizes_of_memory(written_size: str, expected: int) -> None:
    assert bytes_of(written_size) == expected


@pytest.mark.parametrize("written_size", ["", "much", "0GiB", "-1GiB", "8 bits"])
def test_sizes_that_are_none(written_size: str) -> None:
    with pytest.raises(ValueError, match="a size such as 8GiB"):
        bytes_of(written_size)


def test_only_what_the_planner_can_load_fits() -> None:
    small, large, unknown = RatedModel("small", 3e9, 3e9), RatedModel("large", 70e9, 70e9), RatedModel("unknown")
    fits = fitting(with_memory(8 * GIB))
    assert fits(small) == ""
    assert fits(large).startswith("does not fit: 39.8 GiB")
    assert "not known" in fits(unknown)
    # 13 billion weights in four bits take 7.4 GiB; with room left for everything else they do not fit in eight.
    assert fits(RatedModel("medium", 13e9, 13e9))
    assert not fitting(with_memory(16 * GIB))(RatedModel("medium", 13e9, 13e9))
    assert fitting(with_memory(16 * GIB), "F16")(RatedModel("medium", 13e9, 13e9))


def test_more_memory_fits_no_fewer_models() -> None:
    models = [RatedModel(str(b), b * 1e9, b * 1e9) for b in (1, 3, 8, 14, 32, 70)]
    counts = [sum(not fitting(with_memory(size * GIB))(m) for m in models) for size in (2, 4, 8, 16, 32, 64)]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]


def test_a_machine_of_the_simulator_limits_the_pool(tmp_path: Path) -> None:
    lines = "model,params_b\na,3\nb,7\nc,70\n"
    outcomes = OUTCOMES + "p1,c,1,9\np2,c,1,9\n"
    table = read_table(files(tmp_path, t_outcomes=outcomes, models=lines))
    pool: Pool = choose(table, fits=fitting(host_of(MACHINES["laptop-8gb"])))
    assert [model.name for model in pool.models] == ["a", "b"]
    assert dict(pool.left_out)["c"].startswith("does not fit")
    assert len(choose(table, fits=fitting(host_of(MACHINES["workstation-2-gpus"]))).models) == 3
