"""What catalogue agents may import: hand-over of files, passages, lexer, charts. Stable."""
