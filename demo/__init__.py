"""The main job on the real data, told as a story: trained, gated, served, load-tested, promoted, refused, reverted.

Talks to the other rooms as a person does: by commands, files, git and HTTP.
"""
