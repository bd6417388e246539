"""Images on the command line and in a conversation."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Run
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from test_terminal import Terminal

from mai_core.cli.asking import typed_path
from mai_core.cli.complete import SlashCompleter
from tests.pictures import jpeg, png


@pytest.fixture
def cat(tmp_path: Path) -> Path:
    file = tmp_path / "my cat.png"
    file.write_bytes(png(12, 9))
    return file


def test_images_go_with_the_question_and_are_in_the_history(mai: Run, cat: Path, tmp_path: Path) -> None:
    (dog := tmp_path / "dog.jpg").write_bytes(jpeg(5, 7))
    told = mai("chat", "--json", "--image", str(cat), "-i", str(dog), "what is this?")
    id = told.json["conversation"]
    assert told.json["text"].rstrip() == "You said: what is this?"
    shown = mai("history", "show", id).out
    assert "[image: my cat.png, 12 × 9]\n[image: dog.jpg, 5 × 7]\n› what is this?" in shown
    message = mai("history", "show", id, "--json").json["messages"][0]
    assert message["images"][0] == {"name": "my cat.png", "media_type": "image/png", "width": 12, "height": 9}
    assert "data" in mai("history", "export", id, "-f", "json").json["messages"][0]["images"][0]
    assert "*(image: dog.jpg, 5 × 7)*" in mai("history", "export", id).out


def test_an_image_needs_no_words_in_a_pipe(mai: Run, cat: Path) -> None:
    assert mai("chat", "-i", str(cat)).code == 0
    assert mai("history", "--json").json[0]["title"] == "my cat.png"


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"text", "is no PNG, JPEG, WebP or GIF → show a PNG"), (None, "cannot be read (No such file or directory) → ")],
)
def test_what_is_no_image_is_one_line_before_anything_is_started(
    mai: Run, tmp_path: Path, content: bytes | None, says: str
) -> None:
    file = tmp_path / "cat.png"
    if content is not None:
        file.write_bytes(content)
    told = mai("chat", "--image", str(file), "what is this?")
    assert (told.code, told.out) == (1, "")
    assert says in told.err
    assert told.err.count("\n") == 1
    assert mai("history", "--json").json == []


def test_an_image_is_attached_shown_and_sent_with_the_next_message_only(mai: Run, home: Path, cat: Path) -> None:
    terminal = Terminal(home, "chat")
    terminal.prompt()
    terminal.say(f"/image {cat}")
    terminal.expect("[image: my cat.png, 12 × 9] goes with your next message")
    terminal.prompt()
    terminal.say("what is this?")
    terminal.expect("[image: my cat.png, 12 × 9]")
    terminal.expect("You said: what is this?")
    terminal.say("and now?")
    terminal.expect("You said: and now?")
    terminal.say(f"/image '{cat}'")
    terminal.expect("goes with your next message")
    terminal.say("/image")
    terminal.expect("my cat.png taken back")
    terminal.say("/image nowhere.png")
    terminal.expect("nowhere.png cannot be read")
    terminal.say("nothing?")
    terminal.expect("You said: nothing?")
    terminal.prompt()
    terminal.child.sendeof()
    terminal.ends()
    (one,) = mai("history", "--json").json
    messages = mai("history", "show", one["id"], "--json").json["messages"]
    assert [len(m["images"]) for m in messages if m["role"] == "user"] == [1, 0, 0]


def test_files_are_completed_where_a_command_takes_one(cat: Path, tmp_path: Path) -> None:
    (tmp_path / "my notes.txt").touch()
    (tmp_path / "my folder").mkdir()
    completer = SlashCompleter(lambda: ["model"])

    def completed(line: str) -> list[str]:
        return sorted(c.text for c in completer.get_completions(Document(line), CompleteEvent()))

    assert completed(f"/image {tmp_path}/my") == [" cat.png", " folder"]
    assert completed("/ima") == ["image"]
    assert completed("/new x") == []
    assert completed("/switch mo") == ["model"]


def test_a_dropped_file_may_be_quoted(cat: Path) -> None:
    for typed in (str(cat), f"'{cat}'", str(cat).replace(" ", "\\ ")):
        assert typed_path(typed) == cat
    assert typed_path("it's.png") == Path("it's.png")
