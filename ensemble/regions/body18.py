"""OpenPose's BODY_18: the joints of one body, in the order that ControlNet's maps know.

Right and left are the person's own. A body is `[18,3]`: x, y, score; a joint with score 0 is missing.
"""

from enum import IntEnum


class Joint(IntEnum):
    NOSE = 0
    NECK = 1
    R_SHOULDER = 2
    R_ELBOW = 3
    R_WRIST = 4
    L_SHOULDER = 5
    L_ELBOW = 6
    L_WRIST = 7
    R_HIP = 8
    R_KNEE = 9
    R_ANKLE = 10
    L_HIP = 11
    L_KNEE = 12
    L_ANKLE = 13
    R_EYE = 14
    L_EYE = 15
    R_EAR = 16
    L_EAR = 17


BODY_POINTS = len(Joint)
