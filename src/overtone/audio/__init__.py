"""Reading and writing audio: files, file objects and pipes."""
