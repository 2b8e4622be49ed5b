from hypothesis import settings

# A busy machine is no failure; that time grows linearly has a test of its own.
settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")
