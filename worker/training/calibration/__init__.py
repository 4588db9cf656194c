"""How a calibration is made: what a model makes of labelled clips, the fit, its record and its picture. It may import
`result`, `judging` and what lies below them.
"""
