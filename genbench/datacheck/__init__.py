"""Looking at images before anything is trained on them: what is broken, double, unlike the others, or unequally shared.

A survey (`folder`, `tensors`) takes down what there is, one image at a time; `check` compares and judges it by
`thresholds`; `text` and `sheet` show what came of it. Nothing here changes a file of the user's.
"""
