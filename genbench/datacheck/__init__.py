"""Checking images before training: unreadable files, duplicates, outliers and unbalanced classes.

`folder` and `tensors` scan the images one at a time; `check` measures the scan; `findings` judges it by `thresholds`;
`format` and `contact_sheet` present the result. No file of the user is changed.
"""
