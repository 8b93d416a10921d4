"""Array operations on images and boxes: numpy, OpenCV and image codecs, nothing of KServe."""
