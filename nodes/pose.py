"""A pose map, its keypoints and a region per person, from a skeleton, a photo, keypoints or nothing."""

import json

from comfy_api.latest import io, ui

from ..ensemble.pictures import from_bytes, rgb, to_bytes
from ..ensemble.pose.control import Inputs, Nobody, NoPicture, Options, Source, pose_control
from ..ensemble.pose.default import Framing
from ..ensemble.pose.draw import Style
from ..ensemble.pose.estimators import available, choices, estimate
from ..ensemble.pose.estimators.base import Sockets, read_boxes
from ..ensemble.pose.joints import read_joints, write_joints
from ..ensemble.pose.people import Match, Mismatch
from ..ensemble.pose.preview import preview
from ..ensemble.pose.skeleton import write_pose_keypoint
from ..ensemble.prompt.grammar import parse_break
from ..ensemble.prompt.order import parse_order
from ..ensemble.regions.people import Shape
from .types import PoseKeypoint
from .widgets import advanced, choice, decimal, optional, problem, share, switch, whole

_DEFAULT = Options()
_AUTOMATIC = "0: the picture's shape with a short side of 512."


def _sockets() -> tuple[io.Input, ...]:
    return optional(
        io.Image.Input(
            "image",
            tooltip="A ready skeleton, which is recognised, or a photo or painting with people, "
            "which needs an estimator. The first picture of a batch counts.",
        ),
        PoseKeypoint.Input(
            "pose",
            tooltip="Keypoints of SDPose, DWPose or OpenPose instead of a picture. They win over "
            "the image, which then gives the size only.",
        ),
        io.String.Input(
            "text",
            force_input=True,
            tooltip="The prompt with BREAK. There must be as many people as it has person parts.",
        ),
        io.Mask.Input(
            "person_masks",
            tooltip="For match = by words: one mask per person in prompt order, each made with that "
            "person's own words, such as man or woman, from the same image.",
        ),
        io.Model.Input("sdpose_model", tooltip="SDPose from Load Checkpoint, for photos."),
        io.Vae.Input("sdpose_vae", tooltip="The VAE of the SDPose checkpoint."),
        io.BoundingBox.Input(
            "person_boxes",
            force_input=True,
            tooltip="Boxes round people, as RT-DETR Detect gives them, for SDPose and ViTPose. If "
            "not connected, a detector in models/pose_estimation finds them.",
        ),
        io.Image.Input(
            "depth",
            tooltip="A depth map of the picture, nearer is brighter: says who is in front where "
            "people overlap. If not connected, who stands lower is.",
        ),
    )


def _widgets() -> list[io.Input]:
    return [
        whole(
            "people",
            _DEFAULT.people,
            (0, 32),
            "How many people. 0: as many as the prompt on text has, else as many as the "
            "picture shows.",
        ),
        *(
            whole(side, 0, (0, 16384), f"{side.title()} of the canvas. {_AUTOMATIC}", step=8)
            for side in ("width", "height")
        ),
        choice(
            "estimator",
            choices(),
            "Which model finds people in a photo. auto: SDPose where it is linked, else ViTPose, "
            "else OpenPose, from models/pose_estimation.",
        ),
        choice(
            "shape",
            Shape,
            "A person's region: limbs with clothes (capsule), all between them (hull), the box "
            "round them, or a column of the picture.",
        ),
        io.String.Input(
            "order",
            default=_DEFAULT.order,
            tooltip="Who stands where, from left to right: 2,1 puts the second person of the prompt "
            "on the left; 0 leaves a body out. A sign + puts somebody in front where people overlap "
            "(2,1+); with ++ their arms may hide faces. Empty: the prompt's order.",
        ),
        choice(
            "match",
            Match,
            "How people get their bodies: left to right by the middle of the torso, or by words, "
            "which needs person_masks. order wins over both.",
        ),
        choice(
            "on_mismatch",
            Mismatch,
            "Where the picture shows more or fewer people than the prompt has: stop (error), go by "
            "the smaller number and the biggest bodies (crop), take turns (repeat), or as crop with "
            "an empty region for whom there is no body (largest).",
        ),
        choice(
            "no_picture",
            NoPicture,
            "If neither image nor pose is connected: people with crossed arms, no pose at all (a "
            "black map and equal columns), or two or three people who touch.",
        ),
    ]


def _advanced() -> tuple[io.WidgetInput, ...]:
    return advanced(
        choice(
            "on_nobody",
            Nobody,
            "Where nobody is found in the picture: stop, or go on as without a picture.",
        ),
        choice(
            "source",
            Source,
            "What the image is. auto: a skeleton is recognised by its colours on black.",
        ),
        choice(
            "framing",
            Framing,
            "How much of people with crossed arms is shown. auto: as much as leaves heads 64 px "
            "high.",
        ),
        choice(
            "style",
            Style,
            "Thickness of lines: as OpenPose ControlNets were trained, or as xinsir's for SDXL.",
        ),
        switch("hands", _DEFAULT.hands, "Draw hands that are known."),
        switch("face", _DEFAULT.face, "Draw faces that are known."),
        share("min_score", _DEFAULT.min_score, "Joints with a score below this count as missing."),
        share(
            "feather",
            _DEFAULT.feather,
            "Softness of the regions' borders, in torso lengths (columns: in widths).",
        ),
        decimal(
            "margin",
            _DEFAULT.margin,
            (0.0, 2.0),
            "How far a region reaches beyond the body, in torso lengths: hair and clothes.",
        ),
        io.String.Input(
            "joints",
            optional=True,
            default=_DEFAULT.joints,
            tooltip="Bodies moved by hand, as JSON: per body 18 joints [x, y] in parts of the map, "
            "null for a missing one. They win over image and pose, which then give the size only; "
            "hands and faces are left out. The first body is person 1, wherever it stands; order "
            "counts them as listed. Empty: the picture's pose.",
        ),
    )


class PoseControlInput(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PoseControlInput",
            display_name="Pose Control Input",
            category="Ensemble",
            description="A skeleton picture, a photo, keypoints or nothing: gives the map for a pose "
            "ControlNet, and a region for each person of the prompt.",
            search_aliases=[
                "openpose",
                "skeleton",
                "pose map",
                "pose estimation",
                "person regions",
                "regional masks",
                "arms crossed",
                "multi person",
                "two people",
                "several people",
                "vitpose",
                "dwpose",
            ],
            inputs=[*_sockets(), *_widgets(), *_advanced()],
            outputs=[
                io.Image.Output("pose_map", tooltip="The map for a pose ControlNet."),
                PoseKeypoint.Output(
                    "keypoints",
                    tooltip="The people in pixels of the map, as OpenPose JSON holds them.",
                ),
                io.Mask.Output(
                    "regions",
                    tooltip="One soft mask per person, in the order of the prompt. What is left "
                    "to 1 is background.",
                ),
                io.Int.Output("people", tooltip="How many people there are."),
                io.Int.Output("width", tooltip="Width of the map, for the empty latent."),
                io.Int.Output("height", tooltip="Height of the map, for the empty latent."),
                io.Mask.Output(
                    "people_mask",
                    tooltip="Everybody's regions in one mask: what to repaint where the background "
                    "is kept.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, order: str | None, joints: str | None = None) -> bool | str:
        return problem(lambda o, j: (parse_order(o), read_joints(j)), order, joints)

    @classmethod
    def fingerprint_inputs(cls, **_) -> str:
        # A model put into its folder since the last run can see what another one missed.
        return available()

    @classmethod
    def execute(
        cls, *, estimator: str, image=None, pose=None, text=None, person_masks=None, depth=None,
        sdpose_model=None, sdpose_vae=None, person_boxes=None, **widgets,
    ) -> io.NodeOutput:  # fmt: skip
        sockets = Sockets(
            sdpose_model=sdpose_model,
            sdpose_vae=sdpose_vae,
            boxes=None if person_boxes is None else read_boxes(person_boxes),
        )
        found = pose_control(
            Options.of(**widgets),
            Inputs(
                image=None if image is None else to_bytes(rgb(image[0])).numpy(),
                keypoints=pose,
                people=None if text is None else len(parse_break(text).people),
                person_masks=person_masks,
                depth=None if depth is None else rgb(depth[0]).mean(-1).numpy(),
            ),
            lambda picture: estimate(picture, estimator, sockets),
        )
        drawn = from_bytes(preview(found.pose_map, found.regions))[None]
        shown = ui.PreviewImage(drawn, cls=cls).as_dict()
        height, width = found.pose_map.shape[:2]
        keypoints = write_pose_keypoint([found.pose])
        return io.NodeOutput(
            from_bytes(found.pose_map)[None], keypoints, found.regions, found.people, width, height,
            found.regions.sum(dim=0, keepdim=True).clamp(max=1.0),
            ui={
                **shown, "text": [found.report], "openpose_json": [json.dumps(keypoints)],
                "joints": [write_joints(found.bodies)],
            },
        )  # fmt: skip


NODES = [PoseControlInput]
