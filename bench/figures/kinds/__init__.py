"""The kinds of figures: each module turns records into the table of plotted numbers, and that table into a picture.

A ``draw`` function sees nothing but its table and its specification, so the CSV next to a figure holds exactly what the
figure shows, and its hash identifies the figure's content. Matplotlib is imported only in this package.
"""
