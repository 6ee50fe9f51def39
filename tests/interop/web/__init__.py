"""HTTP with peers that are not ours."""


def run(flumed, only):
    return 0, 0, 0
