"""Paper dolls: a small world of drawn people whose every pixel is known, and a small model of it.

A developer's thing: the tests ask the world who stands where, and `README.md` says how the model is
trained. The pack never imports it.
"""
