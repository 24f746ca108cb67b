"""Atelier in the community's Stable Diffusion WebUI: what is asked for is made in your own cloud.

The core (everything without gradio) imports nothing of the WebUI: what it needs of it comes in by argument.
"""
