"""Gated PixelCNN over a grid of codes: the probability of each code given the preceding ones in row order.

van den Oord et al. 2016, "Conditional Image Generation with PixelCNN Decoders", arXiv:1606.05328, section 2. Two stacks
avoid a blind spot: the vertical one sees the rows above, the horizontal one the codes to the left in the same row and
the features of the vertical one. There are no masks: the input of each stack is shifted by one row or one column, and
convolutions are padded only on the side of the past, so that no weight can reach a code that is not drawn yet.

Width w, K codes, L layers; each layer extends the receptive field by one row and one column:

    vertical    embedding w, shifted down     L × [Conv 2×3 to 2w, gate]
    horizontal  embedding w, shifted right    L × [Conv 1×2 to 2w + Conv k1 of the vertical 2w, gate, Conv k1, + input]
    output      ReLU, Conv k1 to w, ReLU, Conv k1 to K

