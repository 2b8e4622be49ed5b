"""SAM 3, BiRefNet and MediaPipe: the logic around core's models. Full-size files: test_slow.py."""

import numpy as np
import pytest
import torch
from ensemble_portraits.ensemble.segment import birefnet, mediapipe_face, sam3
from ensemble_portraits.ensemble.segment.backend import Job, Sockets


def job(image: torch.Tensor, *words: str, **sockets) -> Job:
    return Job(image=image, words=words, threshold=0.5, sockets=Sockets(**sockets))


@pytest.fixture(scope="module", params=["SAM3", "SAM31"])
def small_sam3(request):
    """Core's own SAM 3 detector, shallow and narrow, with random weights."""
    import comfy.ops
    from comfy.ldm.sam3.detector import SAM3Detector

    torch.manual_seed(0)
    detector = SAM3Detector(
        embed_dim=64,
        num_queries=12,
        image_model=request.param,
        img_size=168,
        depth=2,
        global_att_blocks=(1,),
        window_size=6,
        pretrain_img_size=84,
        operations=comfy.ops.disable_weight_init,
    )
    for name, weight in detector.named_parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=weight[0].numel() ** -0.5)
        else:
            torch.nn.init.constant_(weight, float("norm" in name and name.endswith("weight")))
    net = torch.nn.Module()
    net.detector = detector.eval()
    return net


@torch.inference_mode()
def test_sam3_joins_what_cores_forward_finds(small_sam3):
    squares = torch.rand(2, 3, 168, 168)
    texts = [(torch.randn(1, length, 64), torch.ones(1, length).long()) for length in (3, 5)]
    image = torch.zeros(2, 40, 56, 3)
    scores = []
    for embedding, tokens in texts:
        out = small_sam3.detector(
            squares, text_embeddings=embedding, text_mask=tokens, orig_size=(40, 56)
        )
        scores.append((out["scores"].sigmoid(), out["masks"]))
    threshold = torch.cat([score for score, _ in scores]).median().item()
    found = sam3.detect(
        small_sam3,
        squares,
        texts,
        Job(image=image, words=("hat", "red scarf"), threshold=threshold),
    )
    assert found.shape == (2, 2, 40, 56)
    for word, (score, masks) in enumerate(scores):
        for place in range(2):
            kept = masks[place][score[place] > threshold]
            expected = kept.sigmoid().amax(dim=0) if len(kept) else torch.zeros(40, 56)
            torch.testing.assert_close(found[word, place], expected, atol=1e-4, rtol=0)
    assert found.std() > 0.01


def test_sam3_looks_at_a_picture_once_for_all_phrases(small_sam3):
    trunk = small_sam3.detector.backbone["vision_backbone"].trunk
    looks = []
    hook = trunk.register_forward_hook(lambda *args: looks.append(1))
    texts = [(torch.randn(1, 3, 64), torch.ones(1, 3).long())] * 3
    with torch.inference_mode():
        sam3.detect(small_sam3, torch.rand(1, 3, 168, 168), texts, job(torch.zeros(1, 8, 8, 3)))
    hook.remove()
    assert len(looks) == 1


def test_sam3_keeps_the_best_objects_above_the_threshold():
    # Thirty objects, each with a pixel of its own, by falling score.
    masks = (torch.eye(30) * 40 - 20).reshape(1, 30, 5, 6)
    scores = torch.linspace(3, -3, 30)[None]
    kept = int((scores.sigmoid() > 0.6).sum())
    assert 0 < kept < sam3.MAX_OBJECTS
    joined = sam3.combine(scores, masks, 0.6, (5, 6)).flatten() > 0.5
    assert joined.tolist() == [True] * kept + [False] * (30 - kept)
    joined = sam3.combine(scores, masks, 0.001, (5, 6)).flatten() > 0.5
    assert joined.tolist() == [True] * sam3.MAX_OBJECTS + [False] * (30 - sam3.MAX_OBJECTS)
    assert not sam3.combine(scores, masks, 0.99, (5, 6)).any()


def test_sam3s_phrases_are_asked_for_many_objects_each():
    """Through core's own tokenizer: without ":N" it would stop at one object per phrase."""
    from comfy.text_encoders.sam3_clip import SAM3TokenizerWrapper

    class Clip:
        def tokenize(self, text):
            self.tokens = SAM3TokenizerWrapper().tokenize_with_weights(text)
            return self.tokens

        def encode_from_tokens_scheduled(self, tokens):
            per = [{"cond": t, "attention_mask": n} for t, n in tokens["sam3_per_prompt"]]
            return [[None, {"sam3_multi_cond": per}]]

    for words in (("hat",), ("foreground", "red, or blue: scarf", "shoes")):
        found = sam3.encode(Clip(), words)
        assert len(found) == len(words)
        assert [objects for _, objects in found] == [sam3.MAX_OBJECTS] * len(words)


def test_sam3_wants_both_sockets_or_a_file(model_folders):
    assert sam3.find(Sockets(sam3_model=object())) is None
    both = Sockets(sam3_model="model", sam3_clip="clip")
    assert sam3.find(both) == ("model", "clip")
    (model_folders / "checkpoints" / "sam3.1_multiplex_fp16.safetensors").write_bytes(b"")
    (model_folders / "checkpoints" / "a_model.safetensors").write_bytes(b"")
    assert sam3.find(Sockets()).name == "sam3.1_multiplex_fp16.safetensors"


class Matte:
    """A BACKGROUND_REMOVAL that calls bright red the foreground."""

    def encode_image(self, image):
        return image[..., 0]


def test_birefnet_gives_its_matte_for_each_word(image):
    found = birefnet.find(Sockets(background_removal=Matte()))
    masks = birefnet.segment(found, job(image, "foreground", "person"))
    assert torch.equal(masks, image[..., 0].expand(2, -1, -1, -1))


def test_birefnets_file_is_found_and_a_wrong_one_is_named(model_folders):
    from safetensors.torch import save_file

    assert birefnet.find(Sockets()) is None
    folder = model_folders / "background_removal"
    save_file({"a": torch.zeros(1)}, folder / "other.safetensors")
    found = birefnet.find(Sockets())
    with pytest.raises(ValueError, match=r"background_removal/other\.safetensors"):
        birefnet.segment(found, job(torch.zeros(1, 8, 8, 3), "foreground"))
    save_file({"a": torch.zeros(1)}, folder / "BiRefNet_v1.safetensors")
    assert birefnet.find(Sockets()).name == "BiRefNet_v1.safetensors"


def test_face_words_are_cores_face_masks(image, fake_faces):
    from comfy_extras.nodes_mediapipe import MediaPipeFaceMask

    found = mediapipe_face.find(Sockets(face_detection=fake_faces))
    masks = mediapipe_face.segment(found, job(image, "face", "eyes", "lips"))
    landmarks, boxes = mediapipe_face.landmarks(found, image)
    assert [len(faces) for faces in boxes] == [1, 1]
    for mask, regions in zip(
        masks, (["face_oval"], ["left_eye", "right_eye"], ["lips"]), strict=True
    ):
        custom = {"regions": "custom", **dict.fromkeys(regions, True)}
        assert torch.equal(mask, MediaPipeFaceMask.execute(landmarks, custom).args[0])
    _, _, width, height = fake_faces.box
    # An ellipse fills pi/4 of its box.
    area = masks[0, 0].sum().item() / (width * height)
    assert area == pytest.approx(np.pi / 4, rel=0.05)
    assert 0 < masks[2].sum() < masks[0].sum()
