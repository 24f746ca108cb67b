"""What is seen in the browser: gradio's components and what they call."""
