"""The table of neighbours: every node of core that patches a model or changes conditioning.

docs/neighbours.md is this table in words; test_neighbours.py runs it. Nodes for the DiTs that `fused`
knows stand in joint/dit_neighbours.py.
"""

from __future__ import annotations

import neighbours as n
import torch
from neighbours import Neighbour, Verdict

MASK = torch.linspace(0.2, 1.0, 96).repeat(1, 64, 1)
SAID, REFUSED, EXPLAINED = Verdict.SAID, Verdict.REFUSED, Verdict.EXPLAINED
PLAIN = "The plain text beside ours is painted without people's LoRAs."
SCALED = "After ours it does not scale what people's LoRAs add; before ours it does no harm."


def said(why: str, **more) -> Neighbour:
    return Neighbour(fused=SAID, exact=SAID, why=why, **more)


CONDITIONING = {
    "CLIPTextEncodeControlnet": Neighbour(lambda: {"clip": n.Words(), "text": "hint"}),
    "ConditioningAverage": Neighbour({"conditioning_to_strength": 0.6}),
    "ConditioningCombine": said(PLAIN),
    "ConditioningConcat": Neighbour(),
    "ConditioningMultiply": Neighbour({"multiplier": 0.7}),
    "ConditioningSetArea": Neighbour({"width": 64, "height": 64, "x": 32}),
    "ConditioningSetAreaPercentage": Neighbour({"width": 0.5, "height": 0.75, "x": 0.25, "y": 0.25}),
    "ConditioningSetAreaStrength": Neighbour({"strength": 0.5}),
    "ConditioningSetDefaultCombine": said(PLAIN),
    "ConditioningSetMask": Neighbour({"mask": MASK, "strength": 0.8}),
    "ConditioningSetProperties": Neighbour({"mask": MASK, "strength": 0.8}),
    "ConditioningSetPropertiesAndCombine": said(PLAIN, inputs={"mask": MASK}),
    "ConditioningSetTimestepRange": Neighbour({"start": 0.0, "end": 1.0}),
    "ConditioningZeroOut": Neighbour(),
    **{
        name: Neighbour(
            n.with_control, fused=EXPLAINED,
            why="With fused the ControlNet runs once and reads the scene's text; with exact it runs "
            "for each person and reads theirs.",
        )
        for name in ("ControlNetApply", "ControlNetApplyAdvanced", "ControlNetApplySD3")
    },
    "GLIGENTextBoxApply": Neighbour(n.with_gligen),
    "InpaintModelConditioning": Neighbour(n.with_picture),
    "InstructPixToPixConditioning": Neighbour(n.with_picture),
    "PairConditioningCombine": said(PLAIN),
    "PairConditioningSetDefaultCombine": said(PLAIN),
    "PairConditioningSetProperties": Neighbour({"mask": MASK, "strength": 0.8}),
    "PairConditioningSetPropertiesAndCombine": said(PLAIN, inputs={"mask": MASK}),
    "unCLIPConditioning": Neighbour({"clip_vision_output": None}),
}  # fmt: skip
GUIDERS = {
    "BasicGuider": Neighbour(),
    "CFGGuider": Neighbour({"cfg": 4.0}),
    "DualCFGGuider": Neighbour(),
    "DualModelGuider": Neighbour(),
    "PerpNegGuider": said("The empty conditioning is painted without people's LoRAs."),
}
MODELS = {
    "APG": Neighbour(),
    "CFGNorm": Neighbour(),
    "CFGOverride": Neighbour({"cfg": 3.0}),
    "CFGZeroStar": Neighbour(),
    "ContextWindowsManual": Neighbour(
        {"context_length": 1, "context_overlap": 0},
        why="Windows over a batch of frames; over height or width core's own fail on images.",
    ),
    "DifferentialDiffusion": Neighbour(),
    "EasyCache": Neighbour({"reuse_threshold": 0.5, "start_percent": 0.0}),
    "Epsilon Scaling": Neighbour({"scaling_factor": 1.1}),
    "FreSca": Neighbour({"scale_high": 1.5, "scale_low": 0.8, "freq_cutoff": 2}),
    "FreeU": Neighbour(),
    "FreeU_V2": Neighbour(),
    "HyperTile": Neighbour(
        {"tile_size": 32, "max_depth": 1}, fused=REFUSED, why="It lays tiles of tokens into the batch."
    ),
    "HypernetworkLoader": Neighbour(n.with_hypernetwork),
    "LatentApplyOperationCFG": Neighbour({"operation": lambda latent: latent * 0.9}),
    "LazyCache": Neighbour({"reuse_threshold": 0.5, "start_percent": 0.0}),
    "LoraLoader": Neighbour(n.with_lora_file),
    "LoraLoaderBypass": Neighbour(n.with_lora_file),
    "LoraLoaderBypassModelOnly": Neighbour(n.with_lora_file),
    "LoraLoaderModelOnly": Neighbour(n.with_lora_file),
    "LoraModelLoader": Neighbour(lambda: {"lora": n.other_lora()}),
    "Mahiro": Neighbour(),
    "ModelComputeDtype": Neighbour({"dtype": "fp32"}),
    "ModelMergeAdd": Neighbour(),
    **{
        name: Neighbour(n.halves(name), SAID, SAID, SCALED,
                        before=Verdict.EQUAL)
        for name in ("ModelMergeBlocks", "ModelMergeSD1", "ModelMergeSD2", "ModelMergeSDXL",
                     "ModelMergeSimple")
    },
    "ModelMergeSubtract": Neighbour(
        {"multiplier": 0.5}, SAID, SAID, SCALED, before=Verdict.EQUAL
    ),
    "ModelSamplingContinuousEDM": Neighbour({"sigma_max": 20.0, "sigma_min": 0.02}),
    "ModelSamplingContinuousV": Neighbour({"sigma_max": 20.0, "sigma_min": 0.02}),
    "ModelSamplingDiscrete": Neighbour({"sampling": "v_prediction"}),
    "MultiGPU_WorkUnits": Neighbour(why="Tried on one device."),
    "NAGuidance": Neighbour(),
    "PatchModelAddDownscale": Neighbour({"block_number": 1, "downscale_factor": 1.5, "end_percent": 1.0}),
    "PerpNeg": said("The empty conditioning is painted without people's LoRAs."),
    "PerturbedAttentionGuidance": Neighbour(),
    "RescaleCFG": Neighbour(),
    "SelectModelDevice": Neighbour(why="Tried on one device."),
    "SelfAttentionGuidance": Neighbour(),
    "TCFG": Neighbour(),
    "TemporalScoreRescaling": Neighbour(batch=1),
    "TomePatchModel": Neighbour({"ratio": 0.5}, fused=REFUSED, why="It merges tokens."),
    "TorchCompileModel": said("People are painted uncompiled.", inputs=n.eager_compiler),
    "UNetCrossAttentionMultiply": Neighbour(
        {"q": 1.2, "k": 0.9, "v": 1.1, "out": 0.8}, SAID, SAID, SCALED, before=Verdict.EQUAL
    ),
    "UNetSelfAttentionMultiply": Neighbour(
        {"q": 1.2, "k": 0.9, "v": 1.1, "out": 0.8}, SAID, SAID, SCALED, before=Verdict.EQUAL
    ),
    "VideoLinearCFGGuidance": Neighbour(),
    "VideoTriangleCFGGuidance": Neighbour(),
}  # fmt: skip
OTHER_CONDITIONING = [
    "BerniniConditioning",
    "ConditioningSetAreaPercentageVideo",
    "ConditioningStableAudio",
    "ControlNetInpaintingAliMamaApply",
    "HiDreamO1ReferenceImages",
    "HunyuanImageToVideo",
    "HunyuanRefinerLatent",
    "HunyuanVideo15ImageToVideo",
    "HunyuanVideo15SuperResolution",
    "Kandinsky5ImageToVideo",
    "LTXVAddGuide",
    "LTXVConditioning",
    "LTXVCropGuides",
    "LTXVImgToVideo",
    "PiDConditioning",
    "ReferenceTimbreAudio",
    "ResolutionBucket",
    "SD_4XUpscale_Conditioning",
    "StableCascade_StageB_Conditioning",
    "VOIDInpaintConditioning",
    "Wan22FunControlToVideo",
    "WanAnimateToVideo",
    "WanCameraImageToVideo",
    "WanDancerVideo",
    "WanFirstLastFrameToVideo",
    "WanFunControlToVideo",
    "WanFunInpaintToVideo",
    "WanHuMoImageToVideo",
    "WanImageToVideo",
    "WanMoveTrackToVideo",
    "WanPhantomSubjectToVideo",
    "WanSCAILToVideo",
    "WanSoundImageToVideo",
    "WanSoundImageToVideoExtend",
    "WanTrackToVideo",
    "WanVaceToVideo",
]
OTHER_MODELS = [
    "ARVideoI2V",
    "ModelNoiseScale",
    "ChromaRadianceOptions",
    "HiDreamO1PatchSeamSmoothing",
    "LTXVContextWindows",
    "LTXVReferenceAudio",
    "MiniMaxH3SigmaShift",
    "ModelMergeAuraflow",
    "ModelMergeCosmos14B",
    "ModelMergeCosmos7B",
    "ModelMergeCosmosPredict2_14B",
    "ModelMergeLTXV",
    "ModelMergeMochiPreview",
    "ModelMergeSD35_Large",
    "ModelMergeWAN2_1",
    "ModelSamplingLTXV",
    "ModelSamplingStableCascade",
    "SUPIRApply",
    "TripoSplatSamplingPreview",
    "UNetTemporalAttentionMultiply",
    "WanContextWindowsManual",
    "WanInfiniteTalkToVideo",
    "WanUni3CControlnetApply",
    "wanBlockSwap",
]
OTHERS = dict.fromkeys(
    [*OTHER_CONDITIONING, *OTHER_MODELS],
    Neighbour(fused=Verdict.OTHER, exact=Verdict.OTHER, why="For models that have exact alone."),
)
TABLE = {**CONDITIONING, **GUIDERS, **MODELS, **OTHERS}


def kind(name: str) -> str:
    return "conditioning" if name in CONDITIONING else "guider" if name in GUIDERS else "model"
