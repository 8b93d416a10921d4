"""Array operations on pictures and boxes: numpy, OpenCV and picture codecs, nothing of KServe."""
