"""Estimates against real repositories: the index of a commit, the files that match, what odd repositories give."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from br3.errors import UsageError
from br3.estimate import index as indexing
from br3.estimate.estimating import Looked, look, look_at
from br3.estimate.index import KEPT, Index, directory, index_of, is_source, is_test, make
from br3.estimate.retrieval import ranked
from br3.repo import Git, runner
from br3.repo.contents import Changed, files_at, read_blobs, recent_changes
from tests.conftest import Scratch

FILES = {
    "shop/orders.py": "from shop.money import round_cents\n\nclass OrderBook:\n    def cancel_order(self): pass\n",
    "shop/money.py": "def round_cents(amount):\n    return amount\n",
    "shop/views/basket.py": "import shop.orders\nfrom shop import money\n\ndef show_basket():\n    return 'basket'\n",
    "shop/views/login.py": "def check_password():\n    return True\n",
    "shop/__init__.py": "VERSION = 1\n",
    "tests/test_orders.py": "from shop.orders import OrderBook\n\ndef test_cancel_order():\n    OrderBook()\n",
    "web/cart.js": "import money from './shop/money'\nfunction renderCart() { return 1 }\n",
    "README.md": "# shop\ncancel order order order\n",
    "logo.png": "\0\1binary",
    "vendor/lib.py": "def cancel_order(): pass\n",
}


@pytest.fixture
def shop(repo: Scratch) -> Scratch:
    for name, text in FILES.items():
        repo.write(name, text)
    repo.commit("shop")
    return repo


def indexed(scratch: Scratch, ref: str = "HEAD") -> Index:
    return Index(make(Git(scratch.path), scratch.head(ref)))


def best(scratch: Scratch, text: str, count: int = 3) -> list[str]:
    return [match.path for match in ranked(indexed(scratch), text, count)]


def test_an_index_holds_source_and_nothing_else(shop: Scratch) -> None:
    found = indexed(shop).files.paths
    assert set(found) == {name for name in FILES if name not in ("README.md", "logo.png", "vendor/lib.py")}


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("Cancelling an order twice fails", "shop/orders.py"),
        ("cancel_order loses the last line", "shop/orders.py"),
        ("OrderBook should be iterable", "shop/orders.py"),
        ("See shop/views/basket.py", "shop/views/basket.py"),
        ("shop.views.login is slow", "shop/views/login.py"),
        ("Cents are rounded down", "shop/money.py"),
        ("renderCart draws twice", "web/cart.js"),
    ],
)
def test_the_file_that_a_text_is_about_comes_first(shop: Scratch, text: str, path: str) -> None:
    assert best(shop, text)[0] == path


def test_a_path_that_is_named_comes_before_words_that_match(shop: Scratch) -> None:
    assert best(shop, "cancel_order of OrderBook: the cause is in shop/views/login.py")[0] == "shop/views/login.py"


def test_a_module_that_is_named_comes_before_words_that_match(repo: Scratch) -> None:
    repo.write("core/alpha.py", "x = 1\n")
    repo.write("core/words.py", "alpha core alpha core alpha\n")
    repo.write("other/alpha.py", "core core\n")
    repo.commit("modules")
    assert best(repo, "core.alpha.start hangs")[0] == "core/alpha.py"


def test_the_file_that_defines_a_rare_name_comes_before_those_that_say_it(repo: Scratch) -> None:
    repo.write("a.py", "def frobnicate(value):\n    return value or None\n")
    repo.write("b.py", "result = frobnicate(value) or frobnicate(None)\n")
    for number in range(9):
        repo.write(f"c{number}.py", "unrelated = some or other or thing or value\n")
    repo.commit("names")
    assert best(repo, "`frobnicate` is wrong")[0] == "a.py"


def test_tests_come_first_only_where_the_text_is_about_tests(shop: Scratch) -> None:
    assert best(shop, "cancel_order")[0] == "shop/orders.py"
    assert "tests/test_orders.py" in best(shop, "The test test_cancel_order is flaky")[:1]


def test_scores_begin_at_one_and_fall(shop: Scratch) -> None:
    scores = [match.score for match in ranked(indexed(shop), "order basket money", 10)]
    assert scores[0] == 1.0
    assert scores == sorted(scores, reverse=True)
    assert all(score > 0 for score in scores)


def test_files_that_use_another_are_counted(shop: Scratch) -> None:
    looked = look(Git(shop.path), shop.common_dir, shop.head(), "round_cents in shop/money.py")
    assert looked.files[0][0] == "shop/money.py"
    # orders, basket and the cart import it
    assert looked.features["best_users"] == pytest.approx(1.3863, abs=1e-3)


def test_lines_of_source_do_not_count_tests(shop: Scratch) -> None:
    lines = sum(text.count("\n") for name, text in FILES.items() if is_source(name) and not is_test(name))
    assert indexed(shop).files.source_lines == lines


def test_churn_and_authors_are_those_of_the_commits_before(shop: Scratch) -> None:
    shop.write("shop/money.py", "def round_cents(amount):\n    return amount + 0\n")
    shop.git("add", "-A")
    shop.git("-c", "user.email=other@example.invalid", "commit", "-qm", "money")
    changes = recent_changes(Git(shop.path), shop.head(), 50)
    assert changes["shop/money.py"] == Changed(commits=2, authors=2)
    assert changes["shop/orders.py"] == Changed(commits=1, authors=1)
    found = indexed(shop)
    assert found.files.commits[found.files.paths.index("shop/money.py")] == 2


def test_the_index_is_of_the_commit_and_not_of_the_checkout(shop: Scratch) -> None:
    before = shop.head()
    shop.write("shop/refund.py", "def refund_everything(): pass\n")
    shop.commit("refund")
    git = Git(shop.path)
    assert "shop/refund.py" not in Index(make(git, before)).files.paths
    assert best(shop, "refund everything")[0] == "shop/refund.py"


def test_a_kept_index_needs_no_git_and_answers_the_same(shop: Scratch) -> None:
    git, head = Git(shop.path), shop.head()
    first = look(git, shop.common_dir, head, "cancel_order")
    before = runner.calls
    assert look(git, shop.common_dir, head, "cancel_order") == first
    assert runner.calls == before


def test_an_index_is_made_with_three_git_processes(shop: Scratch) -> None:
    git, head = Git(shop.path), shop.head()
    before = runner.calls
    index_of(git, shop.common_dir, head)
    assert runner.calls == before + 3


@pytest.mark.parametrize("damage", [b"", b"nonsense", b"br3-index-1\n[1, 2]\n", None])
def test_a_damaged_index_is_made_again(shop: Scratch, damage: bytes | None) -> None:
    git, head = Git(shop.path), shop.head()
    good = look(git, shop.common_dir, head, "cancel_order")
    path = directory(shop.common_dir) / f"{head}.index"
    whole = path.read_bytes()
    path.write_bytes(whole[:-5] if damage is None else damage)
    assert look(git, shop.common_dir, head, "cancel_order") == good
    assert path.read_bytes() == whole


def test_old_indexes_are_removed_and_nothing_half_written_is_left(shop: Scratch) -> None:
    git = Git(shop.path)
    heads = []
    for number in range(KEPT + 3):
        shop.write("shop/n.py", f"N = {number}\n")
        heads.append(shop.commit(f"n {number}"))
        index_of(git, shop.common_dir, heads[-1])
        path = directory(shop.common_dir) / f"{heads[-1]}.index"
        os.utime(path, (number, number))
    left = sorted(path.name for path in directory(shop.common_dir).iterdir())
    assert left == sorted(f"{head}.index" for head in heads[-KEPT:])


def test_a_place_that_cannot_be_written_to_costs_only_the_keeping(shop: Scratch) -> None:
    place = directory(shop.common_dir)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("a file where the directory should be")
    assert look(Git(shop.path), shop.common_dir, shop.head(), "cancel_order").files[0][0] == "shop/orders.py"


def test_a_repository_without_any_source_gives_no_files(repo: Scratch) -> None:
    repo.git("rm", "-q", "README.md")
    repo.commit("empty")
    looked = look(Git(repo.path), repo.common_dir, repo.head(), "anything")
    assert looked == Looked({"repository_lines": 0.0}, ())


def test_a_repository_of_one_file_that_is_no_source_is_read_all_the_same(repo: Scratch) -> None:
    looked = look(Git(repo.path), repo.common_dir, repo.head(), "the project's readme")
    assert [path for path, _ in looked.files] == ["README.md"]
    assert looked.features["margin"] == 1.0


def test_odd_names_and_bytes_are_taken_as_they_are(repo: Scratch) -> None:
    repo.write("src/spa ce\nline.py", "def odd_name(): pass\n")
    (repo.path / "src" / os.fsdecode(b"caf\xe9.py")).write_bytes(b"def latin(): '\xe9\xff'\n")
    (repo.path / "src" / "link.py").symlink_to("nowhere.py")
    repo.commit("odd")
    assert best(repo, "odd_name") == ["src/spa ce\nline.py"]
    assert best(repo, "latin") == [os.fsdecode(b"src/caf\xe9.py")]
    assert "src/link.py" not in indexed(repo).files.paths


def test_source_that_is_read_in_portions_is_the_same(shop: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = make(Git(shop.path), shop.head())
    monkeypatch.setattr(indexing, "_PORTION_BYTES", 60)
    before = runner.calls
    assert make(Git(shop.path), shop.head()) == whole
    assert runner.calls > before + 4


def test_binary_and_huge_files_are_left_out(repo: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "_LARGEST_BYTES", 1000)
    repo.write("a.py", "small_thing = 1\n")
    repo.write("huge.py", "small_thing = 1\n" * 100)
    repo.write("binary.py", "small_thing\0\1")
    repo.commit("sizes")
    assert indexed(repo).files.paths == ("a.py",)


def test_a_word_said_more_often_than_can_be_counted_stays_with_its_file(repo: Scratch) -> None:
    repo.write("a.py", "needle\n" * 9000)
    repo.write("b.py", "hay\n")
    repo.write("c.py", "hay straw\n")
    repo.commit("many")
    assert best(repo, "needle") == ["a.py"]


def test_a_history_that_is_cut_off_is_no_obstacle(shop: Scratch, tmp_path: Path) -> None:
    shop.commit("second")
    shop.git("clone", "-q", "--depth=1", f"file://{shop.path}", str(tmp_path / "shallow"))
    shallow = Scratch(tmp_path / "shallow")
    assert best(shallow, "cancel_order")[0] == "shop/orders.py"


def test_a_path_without_a_commit_without_a_repository_and_none_at_all(tmp_path: Path) -> None:
    empty = Scratch(tmp_path / "empty")
    empty.path.mkdir()
    with pytest.raises(UsageError, match="not in a git repository"):
        look_at(empty.path, "text")
    empty.git("init", "-q")
    assert look_at(empty.path, "text").files == ()
    with pytest.raises(UsageError, match="does not exist"):
        look_at(tmp_path / "nowhere", "text")


def test_what_is_checked_out_at_a_path_is_looked_at(shop: Scratch) -> None:
    assert look_at(shop.path / "shop", "OrderBook").files[0][0] == "shop/orders.py"


def test_blobs_come_in_the_order_asked_for(shop: Scratch) -> None:
    git = Git(shop.path)
    files = {file.path: file for file in files_at(git, shop.head())}
    wanted = [files["shop/money.py"].blob, "0" * 40, files["web/cart.js"].blob]
    money, none, cart = read_blobs(git, wanted)
    assert (money.decode(), none, cart.decode()) == (FILES["shop/money.py"], b"", FILES["web/cart.js"])
    assert list(read_blobs(git, [])) == []
