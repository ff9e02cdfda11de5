"""`genbench fid --explain`: the distance under the protocols in use, and which choice moves it by how much."""
