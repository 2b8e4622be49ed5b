"""A text encoder that encodes nothing: what it was told is its answer."""


class Words:
    """A text encoder that hands out what it was told; `weights` says whether it knows emphasis."""

    def __init__(self, weights: bool = False):
        self.weights = weights

    def tokenize(self, text: str) -> dict:
        from comfy.sd1_clip import escape_important, token_weights, unescape_important

        if not self.weights:
            return {"model": [[(text, 1.0)]]}
        pieces = token_weights(escape_important(text), 1.0)
        return {"model": [[(unescape_important(piece), weight) for piece, weight in pieces]]}

    def encode_from_tokens_scheduled(self, tokens: dict) -> list:
        return [[tokens["model"][0], {}]]
