"""Which release is asked for: the command line over the plan, a tag or the form around a version."""

from __future__ import annotations

import pytest

from br3.errors import UsageError
from br3.plan.model import Release
from br3.release.naming import Wish, asked
from br3.repo.refs import CommitId
from br3.repo.tags import Tag


@pytest.mark.parametrize(
    ("plan", "wish", "tag", "version"),
    [
        (Release(tag="v3.1.0-alpha.4"), Wish(), "v3.1.0-alpha.4", "3.1.0-alpha.4"),
        (Release(tag="week-1"), Wish(), "week-1", "None"),
        (Release(version="1.2.0"), Wish(), "v1.2.0", "1.2.0"),
        (Release(version="1.2.0", tag="core/{version}"), Wish(), "core/1.2.0", "1.2.0"),
        (Release(tag="v1.0.0"), Wish(tag="v2.0.0"), "v2.0.0", "2.0.0"),
        (Release(tag="r1.0.0"), Wish(version="2.0.0"), "r2.0.0", "2.0.0"),
        (Release(tag="week-one"), Wish(version="v2.0.0"), "v2.0.0", "2.0.0"),
        (Release(version="1.2.0"), Wish(tag="week-1"), "week-1", "None"),
        (Release(version="1.2.0"), Wish(tag="x{version}"), "x1.2.0", "1.2.0"),
        (Release(bump="auto"), Wish(version="2.0.0"), "v2.0.0", "2.0.0"),
        (Release(bump="auto"), Wish(tag="nightly", version="2.0.0"), "nightly", "2.0.0"),
        (Release(), Wish(tag="v11.0.0"), "v11.0.0", "11.0.0"),
    ],
)
def test_the_tag_and_its_version(plan: Release, wish: Wish, tag: str, version: str) -> None:
    found = asked(plan, wish)
    assert (found.tag, str(found.version), found.bump) == (tag, version, None)


@pytest.mark.parametrize(
    ("plan", "wish", "form"),
    [
        (Release(bump="auto"), Wish(), "v{version}"),
        (Release(bump="auto", tag="core/{version}"), Wish(), "core/{version}"),
        (Release(tag="r1.0.0"), Wish(bump="minor"), "r{version}"),
        (Release(version="1.0.0"), Wish(bump="minor", tag="{version}"), "{version}"),
    ],
)
def test_the_form_of_a_version_that_follows(plan: Release, wish: Wish, form: str) -> None:
    found = asked(plan, wish)
    assert (found.tag, found.form, found.bump) == (None, form, wish.bump or plan.bump)


@pytest.mark.parametrize(
    ("plan", "wish", "told"),
    [
        (Release(), Wish(), "no tag is named"),
        (Release(tag="v{version}"), Wish(), "asks for a version"),
        (Release(bump="auto"), Wish(tag="v1.0.0", bump="minor"), "--tag v1.0.0 is one release"),
        (Release(), Wish(version="1.2"), "'1.2' is no version"),
        (Release(), Wish(tag="a..b"), "git does not take 'a..b'"),
        (Release(bump="auto"), Wish(tag="a b{version}"), "git does not take 'a b1.0.0'"),
    ],
)
def test_what_cannot_be_asked_for(plan: Release, wish: Wish, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        asked(plan, wish)
    assert told in caught.value.message


def test_tags_of_the_form_are_ranked_by_their_versions_and_others_left_out() -> None:
    names = ["v1.10.0", "v1.9.0", "v1.10.0-rc.1", "1.99.0", "vv2.0.0", "v3", "core/v9.0.0"]
    tags = [Tag(name, "0" * 40, CommitId("0" * 40)) for name in names]
    ranked = asked(Release(bump="auto"), Wish()).versions(tags)
    assert [tag.name for _, tag in ranked] == ["v1.10.0", "v1.10.0-rc.1", "v1.9.0"]
