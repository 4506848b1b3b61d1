"""The web page: a front end on Gradio, mounted beside the API."""
