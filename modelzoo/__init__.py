"""The models of a campaign: built, downloaded or found, checked, and described in a manifest.

Runs on the controller with the standard library, requests and gdown; TensorFlow and PyTorch have environments of their
own.
"""
