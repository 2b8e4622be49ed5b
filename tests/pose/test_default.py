import numpy as np
import pytest
from ensemble_portraits.ensemble.pose.default import MIN_HEAD, Framing, arrange, default_pose
from ensemble_portraits.ensemble.regions.body import torso_centre


@pytest.mark.parametrize("size", [(512, 512), (512, 640), (768, 512), (1024, 1024), (1216, 832)])
@pytest.mark.parametrize("people", [1, 2, 3, 4, 5, 6, 8, 10])
def test_everybody_stands_in_the_picture_with_a_head_that_can_be_painted(people, size):
    pose, layout = default_pose(people, *size)
    assert len(pose.people) == people == sum(layout.rows)
    heads = np.array([p.body[0, :2] for p in pose.people])
    assert ((heads > 0) & (heads < size)).all()
    for person in pose.people:
        # Wrists cross: each hand lies on the other side of the middle.
        middle = person.body[1, 0]
        assert person.body[4, 0] > middle > person.body[7, 0]
    if people <= 6 or size[0] >= 1024:
        assert layout.head >= MIN_HEAD
    rows = np.split(np.array([torso_centre(p.body)[0] for p in pose.people]),
                    np.cumsum(layout.rows)[:-1])  # fmt: skip
    for row in rows:
        gaps = np.diff(row)
        assert (
            np.allclose(gaps, size[0] / len(row)) and row[0] == pytest.approx(gaps[0] / 2)
            if (len(row) > 1)
            else row[0] == pytest.approx(size[0] / 2)
        )


def test_frame_is_the_widest_that_keeps_heads():
    assert arrange(1, 512, 640).framing is Framing.FULL
    assert arrange(1, 512, 384).framing is Framing.KNEES
    assert arrange(1, 384, 256).framing is Framing.WAIST
    assert arrange(2, 512, 512).rows == (2,)
    assert len(arrange(8, 768, 512).rows) == 2


def test_chosen_frame_is_kept():
    assert arrange(2, 512, 768, Framing.WAIST).framing is Framing.WAIST


def test_the_back_row_ends_where_the_front_row_begins():
    pose, layout = default_pose(8, 768, 512)
    back = pose.people[: layout.rows[0]]
    for person in back:
        assert not person.seen[10] and (person.body[person.seen, 1] < 256).all()


def test_is_constant():
    one, two = default_pose(3, 768, 512)[0], default_pose(3, 768, 512)[0]
    assert all((a.body == b.body).all() for a, b in zip(one.people, two.people, strict=True))
