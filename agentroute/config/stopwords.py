"""English words that say nothing of what a text is about."""

_WORDS = (
    "a an the of to in on for and or is are was were be been it its this that these those with"
    " from by at as my your me i you he she they them we us our do does did can could would will"
    " what how which who when where there have has had please any all some into than then"
)
STOP = frozenset(_WORDS.split())
