// The sizes of a convolution, passed to kernels by value.
#ifndef TM_CONV_SHAPE_CUH
#define TM_CONV_SHAPE_CUH

struct ConvShape {  // tinymed.kernels.shapes.ConvShape
    int N, C, H, W, O, KH, KW, OH, OW, SH, SW, PH, PW, DH, DW, G;
};

#endif
