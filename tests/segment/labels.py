"""The published label lists of the two parsing models, in the order of their class numbers."""

# `id2label` of config.json, huggingface.co/mattmdjaga/segformer_b2_clothes (ATR data set)
CLOTHES_LABELS = (
    "Background",
    "Hat",
    "Hair",
    "Sunglasses",
    "Upper-clothes",
    "Skirt",
    "Pants",
    "Dress",
    "Belt",
    "Left-shoe",
    "Right-shoe",
    "Face",
    "Left-leg",
    "Right-leg",
    "Left-arm",
    "Right-arm",
    "Bag",
    "Scarf",
)

# `id2label` of config.json, huggingface.co/jonathandinu/face-parsing (CelebAMask-HQ data set).
# eye_g: glasses, ear_r: earring, neck_l: necklace, mouth: what lies between the lips.
FACE_LABELS = (
    "background",
    "skin",
    "nose",
    "eye_g",
    "l_eye",
    "r_eye",
    "l_brow",
    "r_brow",
    "l_ear",
    "r_ear",
    "mouth",
    "u_lip",
    "l_lip",
    "hair",
    "hat",
    "ear_r",
    "neck_l",
    "neck",
    "cloth",
)
